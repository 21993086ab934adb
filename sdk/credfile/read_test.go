package credfile

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"
)

// noLock is the look-out for writers on a system without one.
func noLock(*os.File) state { return unknown }

// rewrite writes a file in place in two steps, again and again, until the test
// ends.
func rewrite(t *testing.T, path string, pause, between time.Duration, contents ...[]byte) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			content := contents[i%len(contents)]
			f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
			if err != nil {
				t.Error(err)
				return
			}
			for _, part := range [][]byte{content[:len(content)/2], content[len(content)/2:]} {
				time.Sleep(pause)
				if _, err := f.Write(part); err != nil {
					t.Error(err)
				}
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			time.Sleep(between)
		}
	}()
}

// A file that is rewritten in place is read whole, in its old or its new form.
func TestReadingDuringRewrites(t *testing.T) {
	old := bytes.Repeat([]byte("old content of some length\n"), 1000)
	next := bytes.Repeat([]byte("another content\n"), 1000)
	for name, c := range map[string]struct {
		lock           func(*os.File) state
		pause, between time.Duration
	}{
		"writers are seen":     {lockOutWriters, time.Millisecond, time.Millisecond},
		"writers stop half":    {lockOutWriters, 100 * time.Millisecond, time.Millisecond},
		"writers are not seen": {noLock, 5 * time.Millisecond, 200 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "cloud")
			if err := os.WriteFile(path, old, 0o600); err != nil {
				t.Fatal(err)
			}
			rewrite(t, path, c.pause, c.between, next, old)
			for range 10 {
				got, err := read(t.Context(), path, c.lock, func([]byte) error { return nil })
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, old) && !bytes.Equal(got, next) {
					t.Fatalf("read %d bytes, neither the old content (%d bytes) nor the new one (%d bytes)", len(got), len(old), len(next))
				}
			}
		})
	}
}

// A file that is not being written is read at once, and what is missing in it
// is the error.
func TestIncompleteFile(t *testing.T) {
	missing := errors.New("no profile default")
	path := filepath.Join(t.TempDir(), "cloud")
	if err := os.WriteFile(path, []byte("[other]"), 0o600); err != nil {
		t.Fatal(err)
	}
	reads := 0
	complete := func(text []byte) error {
		reads++
		if string(text) != "[other]" {
			t.Errorf("complete gets %q", text)
		}
		return missing
	}
	if _, err := ReadFile(t.Context(), path, complete); !errors.Is(err, missing) {
		t.Errorf("an incomplete file: %v", err)
	}
	if reads != 1 {
		t.Errorf("the file was read %d times", reads)
	}
	if _, err := ReadFile(t.Context(), path+"-absent", complete); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent file: %v", err)
	}
}

// Where writers are not seen, an incomplete file is read again until it is
// complete.
func TestFileThatIsCompletedLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(30*time.Millisecond, func() { os.WriteFile(path, []byte("key"), 0o600) })
	got, err := read(t.Context(), path, noLock, func([]byte) error { return nil })
	if err != nil || string(got) != "key" {
		t.Errorf("read %q, %v", got, err)
	}
}

// A writer that never ends is an error that names the file, after a while or
// when the caller gives up.
func TestWriterThatNeverEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	writing := func(*os.File) state { return beingWritten }
	if _, err := read(t.Context(), path, writing, nil); err == nil || !strings.Contains(err.Error(), path+" is being written") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := read(ctx, path, writing, nil); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), path) {
		t.Errorf("a caller that gives up: %v", err)
	}
}

// What is in place of the file does not stop the plugin.
func TestStrangeFiles(t *testing.T) {
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(large, make([]byte, maxFileSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{large: "larger than", pipe: "not a regular file", dir: "not a regular file"} {
		if _, err := ReadBinary(t.Context(), path); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestReadBinaryKeepsBytes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	key := []byte("\xef\xbb\xbf\x00\xff")
	if err := os.WriteFile(path, key, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadBinary(t.Context(), path); err != nil || !bytes.Equal(got, key) {
		t.Errorf("read %q, %v", got, err)
	}
}

const iniText = "[default]\r\naws_access_key_id=AKIA\r\n# größer 🔑\r\n"

// encoded returns text in UTF-16.
func encoded(text string, mark string, big bool) []byte {
	out := []byte(mark)
	for _, unit := range utf16.Encode([]rune(text)) {
		if big {
			out = append(out, byte(unit>>8), byte(unit))
		} else {
			out = append(out, byte(unit), byte(unit>>8))
		}
	}
	return out
}

func TestEncodings(t *testing.T) {
	for name, c := range map[string]struct {
		data []byte
		want string // a part of the error instead, when wrong is set
		bad  bool
	}{
		"UTF-8":                    {data: []byte(iniText), want: iniText},
		"UTF-8 with mark":          {data: []byte("\xef\xbb\xbf" + iniText), want: iniText},
		"UTF-16LE":                 {data: encoded(iniText, "\xff\xfe", false), want: iniText},
		"UTF-16BE":                 {data: encoded(iniText, "\xfe\xff", true), want: iniText},
		"UTF-16LE without mark":    {data: encoded("[default]\n", "", false), want: "[default]\n"},
		"UTF-16BE without mark":    {data: encoded("[default]\n", "", true), want: "[default]\n"},
		"Windows-1252 in comments": {data: []byte("# gr\xf6\xdfer\n[default]\n"), want: "# gr\xf6\xdfer\n[default]\n"},
		"empty":                    {data: nil, want: ""},
		"UTF-32LE":                 {data: []byte("\xff\xfe\x00\x00[\x00\x00\x00"), want: "UTF-32", bad: true},
		"UTF-32BE":                 {data: []byte("\x00\x00\xfe\xff\x00\x00\x00["), want: "UTF-32", bad: true},
		"UTF-16 cut off":           {data: encoded(iniText, "\xff\xfe", false)[:11], want: "UTF-16", bad: true},
		"not text":                 {data: []byte("a\x00\x00b"), want: "not text", bad: true},
		"zeros in UTF-16":          {data: []byte("\xff\xfea\x00\x00\x00"), want: "not text", bad: true},
	} {
		text, err := Text(c.data)
		if !c.bad && (err != nil || string(text) != c.want) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if c.bad && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "UTF-8")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "cloud")
	if err := os.WriteFile(path, encoded(iniText, "\xff\xfe", false), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := ReadFile(t.Context(), path, nil); err != nil || string(text) != iniText {
		t.Errorf("a file in UTF-16: %q, %v", text, err)
	}
	if err := os.WriteFile(path, []byte("hunter2\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(t.Context(), path, nil); !errors.Is(err, Malformed) || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that is not text: %v", err)
	}
}
