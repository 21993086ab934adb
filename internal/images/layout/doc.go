// Package layout keeps container images in a bucket, as a registry with storage
// in that bucket would, so that such a registry can serve them, and images that
// it has stored can be read. All backup storage locations of a bucket share one
// tree, also those of several clusters.
//
// # The index
//
// Beside the tree an index says which backup needs which image:
//
//	docker/registry/oadp/refs/v1/<digest>/<owner>       entry: a backup needs an image
//	docker/registry/oadp/made/v1/<digest>/<repository>  mark: we made this revision link
//	docker/registry/oadp/pending/v1/<digest>            the last entry of the image was dropped
//	docker/registry/oadp/sweeps/v1/<random>             announcement of a sweep that goes on
//	docker/registry/oadp/converted/v1/<old>/<new>       an image of schema 1 and what it became
//
// A backup writes the entry of an image, which names all its contents and
// repositories, before it looks for any of it. When the last entry of an image is
// dropped the image becomes pending; a sweep removes it after a time of grace.
//
// # Why nothing is removed that is needed
//
// The argument takes a bucket whose requests happen one after the other, as those
// of all supported stores do, and in whose lists, also those of several pages, is
// what was there throughout. It does not depend on the time of grace.
//
// Backups. A sweep (1) announces itself, (2) reads the entries, (3) removes, (4)
// takes the announcement back. A backup (a) writes its entry, (b) lists the
// announcements and waits until all that it sees are gone, (c) looks for what is
// there already and writes the rest. If the sweep sees the entry, it removes no
// blob that the entry names, and touches none of the entry's repositories as long
// as Velero has not written the object that ends a backup, nor any link that the
// entry needs after that. If it does not, then (a) came after the beginning of (2),
// so (b) came after (1), and (c) comes after the sweep's last removal. An entry
// that learns of more repositories goes through (a) to (c) again. What a backup has
// seen it relies on only while entries of its own cover it.
//
// Two sweeps. Each removes only what the entries that it sees do not need, and
// removals repeat without harm. A backup whose entry one of them does not see waits
// for that one.
//
// Death. A sweep begins no removal later than maxSweepTime after its beginning, and
// none takes longer than maxDeleteTime. A backup that has waited for longer than both
// removes the announcement and goes on. A sweep that was stopped meanwhile finds its
// time over, or its announcement gone. What remains is a process that stops for
// minutes between its look at the clock and the sending of one request.
//
// Crashes. A copy writes blobs, links of layers, manifests and their links, tags,
// in this order; a sweep removes in the opposite one. So each link finds what it
// refers to at any point. An image stays pending until all is done, and a mark
// outlives what it stands for. Manifests with a mark but without entry and pending,
// which a crash while an entry is dropped leaves, become pending again. Entries of a
// backup that never ended are dropped when they are older than any backup takes.
//
// Writers that know nothing of the index, such as the plugin that ours replaces.
// They write the link of a revision whether it is there or not, so a link of theirs
// has no mark or is newer than it. Such a link stays, as do the links of all layers
// and manifests that it needs in its repository, and every blob with a link from
// anywhere. A manifest that cannot be read blocks its repository. So does an
// unfinished upload, for the time of grace, and one anywhere blocks the removal of
// blobs. A removal follows directly upon the look that allows it. What these writers
// do in between, which are seconds, or to a link in the same second in which we
// write or mark it, cannot be told apart; this is the limit of the argument.
//
// Clocks. Times of objects are compared with each other only, and all are the
// server's; "now" is the time of the sweep's announcement. As some stores keep full
// seconds, comparisons do. Spans are measured by each process for itself.
package layout
