package plugintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/process"
	"github.com/oadp-plugins/oadp-plugins/sdk/plugintest/internal/wire"
)

// storeRows are about object stores: objects, their keys and Init.
func storeRows() []Row {
	return []Row{{
		ID: "store.round-trip", Level: Must, Name: "round trip",
		Contract:    "objects of 1 byte to 5 MiB, also around the size of a message, come back as they were stored",
		Consequence: "backups cannot be restored",
		needs:       []need{store},
		run:         roundTrip,
	}, {
		ID: "store.large-object", Level: Must, Name: "large object",
		Contract:    "a large object comes back as it was stored, in bounded memory",
		Consequence: "backups of large clusters cannot be restored, or the Velero pod is killed for its memory",
		needs:       []need{store}, timeout: 15 * time.Minute,
		run: largeObject,
	}, {
		ID: "store.large-message", Level: Should, Name: "large message",
		Contract:    "a PutObject message of 5 MiB is accepted",
		Consequence: "uploads of hosts with larger messages fail",
		needs:       []need{store},
		run:         largeMessage,
	}, {
		ID: "store.replace", Level: Must, Name: "replace and delete",
		Contract:    "a put replaces an object, a delete removes it, and both show at once in all methods",
		Consequence: "a restore reads an old state of a file, or one that is made of two",
		needs:       []need{store},
		run:         replaceAndDelete,
	}, {
		ID: "store.absent", Level: Must, Name: "absent objects",
		Contract:    "an absent object does not exist without an error, is an error to get, and success to delete",
		Consequence: "Velero takes the first backup in a location for an existing one, or cannot delete a backup twice",
		needs:       []need{store},
		run:         absentObject,
	}, {
		ID: "store.absent-bucket", Level: Must, Name: "absent bucket",
		Contract:    "puts, gets and deletes in an absent bucket are errors",
		Consequence: "a misspelt bucket is reported as Available, and backups go nowhere",
		needs:       []need{store},
		run:         absentBucket,
	}, {
		ID: "store.empty-object", Level: Should, Name: "empty object",
		Contract:    "an upload without any message is an error and stores nothing; an upload whose messages are empty stores an empty object or is an error",
		Consequence: "an empty log or list is reported as stored under a name that nobody knows",
		needs:       []need{store},
		run:         emptyObject,
	}, {
		ID: "store.visibility", Level: Must, Name: "visible when complete",
		Contract:    "an object that is being uploaded cannot be seen, and one that is being replaced stays as it was",
		Consequence: "a backup is offered for restore while it is still being written, or is lost when its replacement fails",
		needs:       []need{store},
		run:         visibleWhenComplete,
	}, {
		ID: "store.keys", Level: Must, Name: "characters in keys",
		Contract:    "keys with blanks, +, %, quotes, XML and Unicode characters work in every method",
		Consequence: "backups with such names cannot be found, read or deleted",
		needs:       []need{store},
		run:         keyCharacters,
	}, {
		ID: "store.signed-url", Level: Must, Name: "signed URL",
		Contract:    "a signed URL gives the object to a plain GET, and nothing once its time is over",
		Consequence: "velero backup logs and velero backup describe --details fail, or their URLs give access for ever",
		needs:       []need{store},
		run:         signedURL,
	}, {
		ID: "store.init-again", Level: Must, Name: "Init again",
		Contract:    "Init is repeated, also with other values, while objects are read and written, and nothing fails or is mixed up",
		Consequence: "a backup fails while its location is validated, which happens every minute",
		needs:       []need{store},
		run:         initAgain,
	}, {
		ID: "store.init-leak", Level: Should, Name: "what Init leaves open",
		Contract:    "what belongs to a configuration that Init has replaced is closed within seconds",
		Consequence: "the plugin of a long backup runs out of file descriptors or memory",
		needs:       []need{store},
		run:         initLeak,
	}, {
		ID: "store.bad-config", Level: Should, Name: "bad configuration",
		Contract:    "an unknown key makes Init fail with an error that names it, and leaves the old configuration in use",
		Consequence: "a misspelt key of a location is ignored, and its backups are not as its author expects, unencrypted for instance",
		needs:       []need{store},
		run:         badConfig,
	}, {
		ID: "store.uninitialized", Level: Should, Name: "no Init",
		Contract:    "a call before Init is answered with an error, and the plugin lives on",
		Consequence: "a plugin that was restarted during a backup dies again instead of reporting an error",
		needs:       []need{store},
		run:         noInit,
	}}
}

// noSuchBucket is a valid name of a bucket that does not exist.
const noSuchBucket = "plugintest-no-such-bucket-4f1c"

// same returns an error unless key holds body.
func same(ctx context.Context, st wire.Store, key string, body pattern) error {
	down, err := st.Get(ctx, key)
	if err == nil {
		err = body.compare(down)
	}
	if err != nil {
		return fmt.Errorf("getting %s: %w", key, err)
	}
	return nil
}

// absent returns an error if any method of the store reports an object at key.
func absent(ctx context.Context, st wire.Store, key string) error {
	exists, err := st.Exists(ctx, key)
	if err != nil {
		return fmt.Errorf("ObjectExists of an absent object: %w", err)
	}
	if exists {
		return fmt.Errorf("%s exists", key)
	}
	keys, err := st.List(ctx, key)
	if err != nil {
		return fmt.Errorf("ListObjects: %w", err)
	}
	if slices.Contains(keys, key) {
		return fmt.Errorf("%s is listed", key)
	}
	return getFails(ctx, st, key)
}

// isEnd reports a clean end of a stream.
func isEnd(err error) bool { return err == nil || errors.Is(err, io.EOF) }

// getFails returns an error unless the first read of an object fails.
func getFails(ctx context.Context, st wire.Store, key string) error {
	down, err := st.Get(ctx, key)
	if err != nil {
		return nil
	}
	n, err := down.Read(make([]byte, 1))
	if n > 0 || isEnd(err) {
		return fmt.Errorf("GetObject of %s gives %d bytes and no error", key, n)
	}
	return nil
}

// put stores a body of its own for each name and size.
func put(ctx context.Context, st wire.Store, key string, size int64) (pattern, error) {
	body := newPattern(key, size)
	if err := st.Put(ctx, key, body.reader()); err != nil {
		return body, fmt.Errorf("putting %s, %d bytes: %w", key, size, err)
	}
	return body, nil
}

func removeAll(ctx context.Context, st wire.Store, prefix string) error {
	keys, err := st.List(ctx, prefix)
	if err != nil {
		return err
	}
	return inParallel(len(keys), func(i int) error { return st.Delete(ctx, keys[i]) })
}

func roundTrip(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	for _, size := range []int64{1, 16383, 16384, 16385, 1 << 20, 5<<20 + 1} {
		key := s.key(fmt.Sprint(size))
		body, err := put(ctx, st, key, size)
		if err != nil {
			return err
		}
		if err := same(ctx, st, key, body); err != nil {
			return err
		}
	}
	return nil
}

func largeObject(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	size := s.plugin.Store.LargeObject
	if size == 0 {
		size = 1 << 30
	}
	key := s.key("large")
	began := time.Now()
	body, err := put(ctx, st, key, size)
	if err != nil {
		return err
	}
	s.figure("put", rate(size, time.Since(began)), "MiB/s")
	began = time.Now()
	if err := same(ctx, st, key, body); err != nil {
		return err
	}
	s.figure("get", rate(size, time.Since(began)), "MiB/s")
	if err := s.memory(p.Process); err != nil {
		return err
	}
	if m, err := process.MemoryOf(p.PID()); err == nil && size >= 512<<20 && m.Peak >= size/2 {
		return fmt.Errorf("the plugin took %d MiB for an object of %d MiB", m.Peak>>20, size>>20)
	}
	return errors.Join(s.residue(), st.Delete(ctx, key))
}

func largeMessage(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	body := newPattern("message", 5<<20)
	message := make([]byte, body.size)
	body.fill(message, 0)
	up, err := st.Upload(ctx, s.key("message"))
	if err == nil {
		err = up.Send(message)
	}
	if err == nil {
		err = up.Commit()
	}
	if err != nil {
		return err
	}
	return same(ctx, st, s.key("message"), body)
}

func replaceAndDelete(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	key := s.key("object")
	for _, size := range []int64{3 << 20, 10} { // the shorter one must not end in the longer one
		body, err := put(ctx, st, key, size)
		if err != nil {
			return err
		}
		exists, err := st.Exists(ctx, key)
		if err != nil || !exists {
			return fmt.Errorf("ObjectExists of a new object: %t, %w", exists, err)
		}
		keys, err := st.List(ctx, key)
		if err != nil || !slices.Equal(keys, []string{key}) {
			return fmt.Errorf("ListObjects of a new object: %q, %w", keys, err)
		}
		if err := same(ctx, st, key, body); err != nil {
			return err
		}
	}
	if err := st.Delete(ctx, key); err != nil {
		return err
	}
	return absent(ctx, st, key)
}

func absentObject(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	if err := absent(ctx, st, s.key("absent")); err != nil {
		return err
	}
	// A key that is only the beginning of other keys is absent.
	if _, err := put(ctx, st, s.key("folder/object"), 10); err != nil {
		return err
	}
	for _, name := range []string{"absent", "folder", "fold"} {
		if err := absent(ctx, st, s.key(name)); err != nil {
			return err
		}
		if err := st.Delete(ctx, s.key(name)); err != nil {
			return fmt.Errorf("DeleteObject of an absent object: %w", err)
		}
	}
	exists, err := st.Exists(ctx, s.key("folder/object"))
	if err != nil || !exists {
		return fmt.Errorf("deleting an absent object has taken another one along: %t, %w", exists, err)
	}
	return nil
}

func absentBucket(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	nowhere := st.In(noSuchBucket)
	if err := nowhere.Put(ctx, s.key("x"), strings.NewReader("x")); err == nil {
		return errors.New("PutObject is no error")
	}
	if err := nowhere.Delete(ctx, s.key("x")); err == nil {
		return errors.New("DeleteObject is no error")
	}
	return getFails(ctx, nowhere, s.key("x"))
}

func emptyObject(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	if err := st.Put(ctx, s.key("nothing"), strings.NewReader("")); err == nil {
		return errors.New("an upload without any message is answered with success, though its key is not known")
	}
	keys, err := st.List(ctx, s.key(""))
	if err != nil || len(keys) > 0 {
		return fmt.Errorf("after an upload without any message: %q, %w", keys, err)
	}
	key := s.key("empty")
	up, err := st.Upload(ctx, key)
	if err == nil {
		err = up.Send(nil)
	}
	if err == nil {
		err = up.Commit()
	}
	if err != nil {
		return absent(ctx, st, key)
	}
	return same(ctx, st, key, pattern{})
}

func visibleWhenComplete(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	for _, size := range []int64{100_000, 24 << 20} {
		fresh, replaced := s.key(fmt.Sprint("fresh-", size)), s.key(fmt.Sprint("replaced-", size))
		old, err := put(ctx, st, replaced, 1000)
		if err != nil {
			return err
		}
		unchanged := func() error {
			return errors.Join(absent(ctx, st, fresh), same(ctx, st, replaced, old))
		}
		var uploads []*wire.Upload
		for _, key := range []string{fresh, replaced} {
			up, err := st.Upload(ctx, key)
			if err == nil {
				err = up.SendAll(newPattern("new", size).reader())
			}
			if err != nil {
				return err
			}
			uploads = append(uploads, up)
			if err := unchanged(); err != nil {
				return fmt.Errorf("while %d bytes are uploaded: %w", size, err)
			}
		}
		for i, key := range []string{fresh, replaced} {
			if err := uploads[i].Commit(); err != nil {
				return err
			}
			if err := same(ctx, st, key, newPattern("new", size)); err != nil {
				return err
			}
		}
	}
	return nil
}

// trickyKeys are wrong in stores that escape, join or compare keys carelessly.
func trickyKeys() []string {
	return []string{
		"with blank", " leading and trailing ", "a+b", "a%2Bb", "100%", "semi;colon", "a&b=c?d#e", "quote\"'`",
		"<tag>&amp;", "tilde~", "comma,colon:at@", "brackets[]{}()", "star*!", "dollar$", "ünïcödé", "u\u0308 apart", "\u00fc composed",
		"日本語/ファイル", "😀/😀", "dotted.name..x", "UPPER", "upper", "deep/1/2/3/4/5/6/7/8/9/x",
	}
}

func keyCharacters(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	bodies := map[string]pattern{}
	for i, name := range trickyKeys() {
		body, err := put(ctx, st, s.key(name), int64(100+i))
		if err != nil {
			return err
		}
		bodies[s.key(name)] = body
	}
	keys, err := st.List(ctx, s.key(""))
	if err != nil {
		return err
	}
	if err := equalSets(keys, bodies); err != nil {
		return err
	}
	var errs []error
	for key, body := range bodies {
		errs = append(errs, checkKey(ctx, st, key, body))
	}
	return errors.Join(errs...)
}

func checkKey(ctx context.Context, st wire.Store, key string, body pattern) error {
	if err := same(ctx, st, key, body); err != nil {
		return err
	}
	keys, err := st.List(ctx, key)
	if err != nil || !slices.Contains(keys, key) {
		return fmt.Errorf("listed by itself, %q gives %q, %w", key, keys, err)
	}
	if err := st.Delete(ctx, key); err != nil {
		return fmt.Errorf("deleting %q: %w", key, err)
	}
	return absent(ctx, st, key)
}

func initAgain(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	return s.trafficWithInits(ctx, st)
}

func initLeak(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if err := s.initStore(ctx, st); err != nil {
		return err
	}
	return noLeak(ctx, p.Process, func() error { return s.trafficWithInits(ctx, st) })
}

// configs returns the configurations that Init may switch between.
func (s *Suite) configs() []map[string]string {
	configs := []map[string]string{s.storeConfig(s.plugin.Store.Config)}
	if s.plugin.Store.Alternate != nil {
		configs = append(configs, s.storeConfig(s.plugin.Store.Alternate))
	}
	return configs
}

// trafficWithInits runs workers that put, get and delete while Init is
// repeated.
func (s *session) trafficWithInits(ctx context.Context, st wire.Store) error {
	const workers, inits = 8, 40
	configs := s.configs()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	return inParallel(workers+1, func(i int) error {
		if i < workers {
			return s.traffic(ctx, st, i)
		}
		defer stop()
		for n := range inits {
			if err := st.Init(ctx, configs[n%len(configs)]); err != nil {
				return fmt.Errorf("calling Init: %w", err)
			}
		}
		return nil
	})
}

// traffic moves objects until ctx ends, each to its end.
func (s *session) traffic(ctx context.Context, st wire.Store, worker int) error {
	whole := context.WithoutCancel(ctx)
	for n := 0; ctx.Err() == nil; n++ {
		key := s.key(fmt.Sprintf("worker-%d/%d", worker, n))
		body, err := put(whole, st, key, int64(50_000+worker*1000+n))
		if err != nil {
			return err
		}
		if err := same(whole, st, key, body); err != nil {
			return err
		}
		if err := st.Delete(whole, key); err != nil {
			return err
		}
	}
	return nil
}

func badConfig(ctx context.Context, s *session) error {
	st, err := s.openStore(ctx)
	if err != nil {
		return err
	}
	body, err := put(ctx, st, s.key("object"), 1000)
	if err != nil {
		return err
	}
	config := s.storeConfig(s.plugin.Store.Config)
	config[unknownKey] = "x"
	if err := refusesKey(st.Init(ctx, config)); err != nil {
		return err
	}
	if err := same(ctx, st, s.key("object"), body); err != nil {
		return fmt.Errorf("after the failed Init: %w", err)
	}
	return nil
}

// unknownKey is a configuration key that no plugin has.
const unknownKey = "plugintestUnknownKey"

// refusesKey returns an error unless the error of an Init tells of the unknown
// key.
func refusesKey(err error) error {
	switch {
	case err == nil:
		return errors.New("the unknown key is accepted")
	case !strings.Contains(err.Error(), unknownKey):
		return fmt.Errorf("the error does not name the key: %w", err)
	}
	return nil
}

func noInit(ctx context.Context, s *session) error {
	p, err := s.start()
	if err != nil {
		return err
	}
	st := s.store(p)
	if _, err := st.List(ctx, s.key("")); err == nil {
		return errors.New("before Init ListObjects is no error")
	}
	if err := getFails(ctx, st, s.key("x")); err != nil {
		return err
	}
	if err := alive(ctx, p); err != nil {
		return err
	}
	return s.initStore(ctx, st)
}
