// Package layout keeps container images in a bucket, as a registry with storage
// in that bucket would. So such a registry can serve them, and images that it has
// stored can be read. All backup storage locations of a bucket share one tree of
// images, also those of several clusters.
//
// # The keys
//
// The tree begins at the root of the bucket, whatever the prefix of a location is:
//
//	docker/registry/v2/
//	  blobs/sha256/<2 hex>/<hex>/data                    layer, configuration or manifest
//	  repositories/<namespace>/<name>/
//	    _layers/sha256/<hex>/link                        the repository has a layer or configuration
//	    _manifests/revisions/sha256/<hex>/link           the repository has a manifest
//	    _manifests/tags/<tag>/index/sha256/<hex>/link    an image that the tag names or has named
//	    _manifests/tags/<tag>/current/link               the image that the tag names now
//
// Beside the tree an index says which backup needs which image. Registries do not
// know it, and only this package writes it:
//
//	docker/registry/oadp/
//	  refs/v1/<image>/<owner>            entry: a backup needs an image
//	  made/v1/<manifest>/<repository>    mark: we wrote this revision link
//	  pending/v1/<image>                 note: the last entry of the image was removed
//	  sweeps/v1/<random>                 announcement: a sweep goes on
//	  converted/v1/<old>/<new>           an image of schema 1, and what it was converted to
//	  damaged/v1/<blob>                  note: a restore has found the blob damaged
//	  audits/v1/last                     its time is that of the last sweep that a deletion made
//
// <image>, <manifest>, <blob>, <old> and <new> are digests such as sha256:0123…;
// <owner> is the hash that [Backup.Owner] returns.
//
// # How they are used
//
// A backup writes the entry of an image before it looks for any of its contents in
// the bucket. The entry names the backup, the repositories that get the image, and
// all contents: manifests, configurations, layers. When a backup is deleted, its
// entries are removed. An image whose last entry was removed becomes pending, and a
// sweep removes it when the time of grace is over.
//
// A deletion makes requests only for the images of the deleted backup. A sweep
// lists the whole index and tree, reads the entries, and reads of repositories what
// concerns pending images. So deletions make one sweep a day at most; the command
// clean-images makes one at once.
//
// # Why nothing is removed that is needed
//
// The argument assumes that the requests to a bucket happen one after the other, as
// those to all supported stores do, and that a list, also one of several pages,
// contains all objects that were there from its beginning to its end. It does not
// depend on the time of grace.
//
// A backup and a sweep. A sweep
//
//	(1) writes its announcement,
//	(2) reads the entries,
//	(3) removes objects,
//	(4) removes its announcement.
//
// A backup, for each image,
//
//	(a) writes the entry,
//	(b) lists the announcements and waits until all of them are gone,
//	(c) looks for what is there already and writes the rest.
//
// Either the sweep reads the entry in (2). Then it removes no blob that the entry
// names. It also leaves all repositories of the entry alone as long as the object
// is missing that Velero writes at the end of a backup (PREFIX/backups/NAME/
// velero-backup.json), or may not be read; and after that every link that the entry
// needs. Or it does not read the entry. Then (a) happened after (2) began, so the
// backup saw the announcement in (b), and (c) came after the sweep's last removal.
//
// When an entry gets more repositories, the backup goes through (a) to (c) again.
//
// The links of a repository are listed once in a backup, in (c) of its first image
// there. That list stays good for later images: the entry of the first image keeps
// every sweep away from the repository until the backup has ended, and blobs with a
// link from anywhere stay.
//
// Two sweeps. Each removes only what no entry needs that it has read, and it does no
// harm to remove an object twice. A backup whose entry one of them has not read
// waits for that one.
//
// A sweep that dies. A sweep begins no removal later than maxSweepTime after its
// beginning, and no removal takes longer than maxDeleteTime. A backup that has
// waited for longer than both together removes the announcement and goes on. If the
// sweep was only halted, it finds its time over or its announcement gone, and
// stops. What remains is a process that is halted for minutes between its look at
// the clock and the sending of one request.
//
// A backup or a sweep that crashes. A backup writes blobs, links of layers,
// manifests, their links, and tags, in this order; a sweep removes in the opposite
// order. So whatever a link refers to is there at any time. An image stays pending
// until everything of it is gone, and a mark is removed after its link. A crash
// between the removal of the last entry and the writing of the note leaves marks of
// manifests that have neither an entry nor a note; the next sweep writes the note.
// The entries of a backup that has never ended are removed after DefaultAbandoned,
// if its location has other backups.
//
// The deletion of a backup. Which entries to remove, the tarball of the backup
// says, in an annotation of its image streams. An annotation of another backup may
// have got there. So an entry is removed only if it names the backup that is
// deleted: its name, and the prefix of its location. Velero keeps no two backups
// with both in common in one bucket.
//
// Writers that know nothing of the index, such as the plugin that ours replaces.
// They write the link of a revision whether it is there or not. Our mark tells the
// time that the link had when we wrote it; a link with another time is theirs. A
// link of theirs stays. So do the links of all layers and manifests that it needs in
// its repository, and every blob with a link from anywhere. If a manifest cannot be
// read, nobody knows what it needs, and nothing is removed from its repository. An
// unfinished upload has the same effect for the time of grace, and one anywhere
// keeps all blobs. Each removal follows directly upon the list that allows it. What
// these writers do in between, which is a matter of seconds, and what they do to a
// link in the same second in which we write it, cannot be told apart. This is the
// limit of the argument.
//
// A bucket that was copied. All its objects have new times, so no mark has the time
// of its link, and no image that was there before is ever removed.
//
// Clocks. Times of objects are the server's, and "now" is the time of the sweep's
// announcement, which was written for it. A later time, which a wrong clock may have
// left, makes its own object young and no other one old. As some stores keep full
// seconds, comparisons do. How long something takes, each process measures for
// itself.
//
// # Whom a restore believes
//
// Whoever can edit an image stream can let it name any image of the bucket. So a
// [RestoreTree] reads an image only if an entry says that the backup needs it. A
// backup by the plugin that ours replaces has no entries; then the image must be
// part of the repository of the image stream.
package layout
