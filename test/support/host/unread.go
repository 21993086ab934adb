package host

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// UnreadPlugin is a plugin whose host reads neither its standard output, beyond the
// handshake, nor its standard error.
type UnreadPlugin struct {
	*Plugin
	// Output and Errors are the pipes.
	Output, Errors *os.File

	cmd *exec.Cmd
}

// StartUnread starts a plugin and does not read its pipes after the handshake.
func StartUnread(l Launch) (*UnreadPlugin, error) {
	d := &UnreadPlugin{Plugin: &Plugin{stderr: &record{}}, cmd: l.command()}
	d.cmd.Env = append(d.cmd.Env, "VELERO_PLUGIN=hello", "PLUGIN_PROTOCOL_VERSIONS=2")
	d.stop = d.end
	var err error
	if d.Output, err = pipe(&d.cmd.Stdout); err != nil {
		return nil, err
	}
	if d.Errors, err = pipe(&d.cmd.Stderr); err != nil {
		return nil, err
	}
	err = d.cmd.Start()
	_ = d.cmd.Stdout.(io.Closer).Close()
	_ = d.cmd.Stderr.(io.Closer).Close()
	if err != nil {
		return nil, err
	}
	if err := d.dial(); err != nil {
		d.end()
		return nil, err
	}
	return d, nil
}

func pipe(writer *io.Writer) (*os.File, error) {
	r, w, err := os.Pipe()
	*writer = w
	return r, err
}

func (d *UnreadPlugin) dial() (err error) {
	line, err := bufio.NewReaderSize(d.Output, 16).ReadString('\n')
	if err != nil {
		return fmt.Errorf("reading the handshake: %w", err)
	}
	fields := strings.Split(line, "|")
	if len(fields) < 5 {
		return fmt.Errorf("%q is no handshake", line)
	}
	if d.Process, err = open(d.cmd.Process.Pid); err != nil {
		return err
	}
	target := "unix:" + fields[3]
	if name, abstract := strings.CutPrefix(fields[3], "@"); abstract {
		target = "unix-abstract:" + name
	}
	d.Conn, err = grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(math.MaxInt32)))
	return err
}

// Wait waits for the end of the process. It returns an error unless the exit
// code is 0.
func (d *UnreadPlugin) Wait() error {
	err := d.cmd.Wait()
	return errors.Join(err, d.Output.Close(), d.Errors.Close())
}

// end kills the process and frees what the host holds.
func (d *UnreadPlugin) end() {
	_ = d.cmd.Process.Kill()
	if d.Conn != nil {
		_ = d.Conn.Close()
	}
	_ = d.Wait() // the signal is its error
}
