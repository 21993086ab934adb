package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// huge puts one object with the aws plugin that is larger than a store could be here, and tells what
// it took. The store at the other end checks and forgets.
func huge(ctx context.Context, w io.Writer, plugin string, size int64, dir string) (err error) {
	const partSize = 5 << 20
	if err := cleanEnvironment(dir); err != nil {
		return err
	}
	becomeServer()
	veleroLog, err := os.Create(filepath.Join(dir, "velero.log"))
	if err != nil {
		return err
	}
	defer veleroLog.Close()
	credentialsFile, err := writeAWSCredentials(dir)
	if err != nil {
		return err
	}
	body := newContent()
	store := newSink(body, partSize)
	addr, stop := store.listen()
	defer stop()
	h, err := startHost(plugin, "velero.io/aws", (&minIO{scheme: "http"}).location(addr, credentialsFile), newLogger(veleroLog))
	if err != nil {
		return err
	}
	defer h.stop()
	begin := time.Now()
	watched := &watched{Reader: cancellable{ctx, body.reader(size)}, process: h.process, begin: begin}
	if err := h.PutObject(bucketName, "huge", watched); err != nil {
		return errors.Join(err, errors.New(tail(veleroLog.Name())))
	}
	if store.complete != size {
		return fmt.Errorf("an object of %d bytes was completed, want %d", store.complete, size)
	}
	cpu, err := h.process.cpu()
	if err != nil {
		return err
	}
	peak, err := h.process.peak()
	if err != nil {
		return err
	}
	elapsed := time.Since(begin)
	_, err = fmt.Fprintf(w, "%s in %d parts, every byte as sent: %v, %.0f MiB/s, %.2f s of CPU per GiB, peak memory %.0f MiB\n",
		formatSize(size), len(store.parts), elapsed.Round(time.Second), mebibytes(size)/elapsed.Seconds(),
		cpu.Seconds()*(1<<30)/float64(size), mebibytes(peak))
	if peak > hugeMemory {
		return fmt.Errorf("the plugin took %.0f MiB of memory, more than %.0f", mebibytes(peak), mebibytes(hugeMemory))
	}
	return err
}

// hugeMemory is what the plugin may take: 70 MiB, and from part 9,000 on the one
// large part of 80 MiB in place of 45 MiB of small ones.
const hugeMemory = 112 << 20

// watched reports the progress of a long upload.
type watched struct {
	io.Reader
	process pluginProcess
	begin   time.Time
	read    int64
}

const watchedStep = 4 << 30

func (w *watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	before := w.read
	w.read += int64(n)
	if before/watchedStep != w.read/watchedStep {
		peak, peakErr := w.process.peak()
		if peakErr != nil {
			return n, peakErr
		}
		progress("%s after %v, peak memory %.0f MiB", formatSize(w.read/watchedStep*watchedStep), time.Since(w.begin).Round(time.Second), mebibytes(peak))
	}
	return n, err
}
