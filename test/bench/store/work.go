package main

import (
	"context"
	"fmt"
	"io"

	"github.com/vmware-tanzu/velero/pkg/plugin/velero"
)

// work is something that Velero asks of a store, and how much of it is one
// reading.
type work struct {
	name       string
	operations int
	bytes      int64 // of all operations together; 0 where the time counts
	do         func(ctx context.Context, store velero.ObjectStore, plugin string) error
}

const smallPuts = 100

func putWork(body content, size int64) work {
	n := repeats(size)
	return work{
		name: "put " + formatSize(size), operations: n, bytes: int64(n) * size,
		do: func(ctx context.Context, store velero.ObjectStore, plugin string) error {
			return times(ctx, n, func(int) error {
				key := "put/" + plugin + "/" + formatSize(size)
				return store.PutObject(bucketName, key, cancellable{ctx, body.reader(size)})
			})
		},
	}
}

func getWork(body content, size int64) work {
	n := repeats(size)
	return work{
		name: "get " + formatSize(size), operations: n, bytes: int64(n) * size,
		do: func(ctx context.Context, store velero.ObjectStore, _ string) error {
			return times(ctx, n, func(int) error {
				object, err := store.GetObject(bucketName, readKey(size))
				if err != nil {
					return err
				}
				defer object.Close()
				return body.verify(cancellable{ctx, object}, size)
			})
		},
	}
}

func smallPutsWork(body content) work {
	return work{
		name: fmt.Sprintf("put %d x %s", smallPuts, formatSize(smallSize)), operations: smallPuts,
		do: func(ctx context.Context, store velero.ObjectStore, plugin string) error {
			return times(ctx, smallPuts, func(i int) error {
				return store.PutObject(bucketName, fmt.Sprintf("small/%s/%03d", plugin, i), body.reader(smallSize))
			})
		},
	}
}

func listWork(keys int) work {
	return work{
		name: fmt.Sprintf("list %d keys", keys), operations: 1,
		do: func(_ context.Context, store velero.ObjectStore, _ string) error {
			found, err := store.ListObjects(bucketName, listPrefix)
			if err == nil && len(found) != keys {
				err = fmt.Errorf("listed %d keys of %d", len(found), keys)
			}
			return err
		},
	}
}

// repeats makes a reading of small objects long enough to mean something.
func repeats(size int64) int { return int(min(50, max(1, 64<<20/size))) }

func times(ctx context.Context, n int, do func(i int) error) error {
	for i := range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// cancellable ends a stream with the context's error, as the calls of Velero's
// plugin interface take no context.
type cancellable struct {
	ctx context.Context
	io.Reader
}

func (c cancellable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.Reader.Read(p)
}

// formatSize writes a power of two as people say it: 16 KiB, 1 GiB.
func formatSize(size int64) string {
	for _, unit := range []struct {
		name  string
		bytes int64
	}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if size >= unit.bytes && size%unit.bytes == 0 {
			return fmt.Sprintf("%d %s", size/unit.bytes, unit.name)
		}
	}
	return fmt.Sprintf("%d B", size)
}

// parseSize reads what formatSize writes, with or without the blank.
func parseSize(text string) (int64, error) {
	var number int64
	var unit string
	if _, err := fmt.Sscanf(text, "%d%s", &number, &unit); err != nil {
		return 0, fmt.Errorf("size %q: want a number and B, KiB, MiB or GiB", text)
	}
	shift, known := map[string]uint{"B": 0, "KiB": 10, "MiB": 20, "GiB": 30}[unit]
	if !known || number <= 0 {
		return 0, fmt.Errorf("size %q: want a positive number and B, KiB, MiB or GiB", text)
	}
	return number << shift, nil
}
