package awsaccess_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/oadp-plugins/oadp-plugins/internal/awsaccess"
	"github.com/oadp-plugins/oadp-plugins/internal/endpoint"
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
	transport, err := endpoint.NewTransport(endpoint.Trust{})
	if err != nil {
		t.Fatal(err)
	}
	for range 200 {
		id, err := awsaccess.Access{CredentialsFile: file}.Identity(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := id.Config(t.Context(), awsaccess.NewClient(transport), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := id.Retrieve(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
}
