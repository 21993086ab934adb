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
// The argument takes a bucket whose requests happen one after the other, as all
// supported ones have it; a list of several pages has what was there throughout.
// It does not depend on the time of grace.
//
// A backup of ours. A sweep (1) announces itself, (2) lists the entries, (3)
// removes, (4) takes the announcement back. A backup (a) writes its entry, (b)
// lists the announcements and waits until all that it sees are gone, (c) looks for
// what is there already and writes the rest. Either (a) comes before the end of
// (2) in such a way that the sweep sees the entry: then it removes no blob that the
// entry names, and touches none of its repositories until Velero has written the
// object that ends a backup. Or it comes later: then (1) comes before (b), and the
// backup waits until the sweep's last removal, so (c) sees what is really left. An
// entry that learns of more repositories goes through (a) to (c) again. What a
// backup has seen it relies on only while entries of its own cover it.
//
// Death. A sweep begins no removal later than sweepTime after it began, by its own
// clock, and none takes longer than deleteTime. A backup that has waited for
// longer than both, by its own clock, removes the announcement and goes on. A
// sweep that was frozen in between finds its time over, or its announcement gone.
// What remains is a process that freezes for minutes exactly between its look at
// the clock and the sending of one request.
//
// Crashes. Copies write blobs, links of layers, manifests and their links, tags,
// in this order, and sweeps remove in the opposite one. So at any point each link
// finds what it refers to. An image stays pending until all is done; a mark
// outlives the link and the links of layers. Manifests with a mark but neither
// entry nor pending, which a crash while an entry was dropped leaves, become
// pending again.
//
// Two sweeps remove only what neither's entries need, and removals repeat without
// harm. Entries from after the first sweep's list belong to backups that wait for
// it; the second either lists these entries or is waited for as well.
//
// Writers that know nothing of the index, such as the plugin that ours replaces.
// A revision link of theirs has no mark, or is newer than the mark, since they
// write it in any case. Such a link stays, as do the links of all layers and
// manifests that it needs in its repository, and every blob with a link anywhere.
// Manifests that cannot be read block the repository. So does an unfinished
// upload, for the time of grace; one anywhere blocks the removal of blobs. Look and
// removal follow upon each other: what these writers do in the seconds between
// them, or to a link in the second in which we make it, cannot be told apart and is
// the limit of this argument.
//
// Clocks. Times of objects are compared with each other only, and all are the
// server's; "now" is the time of the sweep's own announcement. Processes measure
// spans with their own clocks. As some stores keep full seconds, so do comparisons.
package layout
