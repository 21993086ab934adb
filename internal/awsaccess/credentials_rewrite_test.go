package awsaccess_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
)

// Velero writes the credentials file of a location in place before every
// operation, so that one operation's plugin reads what another's is writing.
func TestCredentialsFileThatIsRewritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret-cloud")
	content := []byte("[default]\naws_access_key_id = a\naws_secret_access_key = b\n")
	write := func(pause time.Duration) {
		f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o640)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		time.Sleep(pause)
		if _, err := f.Write(content); err != nil {
			t.Error(err)
		}
	}
	write(0)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				write(2 * time.Millisecond)
				time.Sleep(2 * time.Millisecond)
			}
		}
	})
	defer writer.Wait()
	defer close(stop)
	for range 50 {
		if _, err := (awsaccess.Access{CredentialsFile: file}).Identity(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
