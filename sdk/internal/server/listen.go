package server

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
)

// listen opens the socket that the host connects to, and returns how to name it
// in the handshake line.
//
// On Linux it is an abstract socket: there is no file to leave behind, no path
// to be too long and no folder to be read-only. Such sockets carry no
// permissions, so only peers of the same user are accepted. A host that names a
// folder for sockets gets a file in it.
func listen() (l net.Listener, network, address string, err error) {
	if dir := os.Getenv("PLUGIN_UNIX_SOCKET_DIR"); dir != "" {
		return listenIn(dir)
	}
	if runtime.GOOS == "linux" {
		name := "@velero-plugin-" + randomName()
		if l, err := net.Listen("unix", name); err == nil {
			return sameUser{l}, "unix", name, nil
		}
	}
	return listenIn(os.TempDir())
}

func listenIn(dir string) (l net.Listener, network, address string, err error) {
	path := filepath.Join(dir, "plugin"+randomName())
	l, err = net.Listen("unix", path)
	if err != nil {
		return nil, "", "", fmt.Errorf("opening the plugin's socket in %s: %w", dir, err)
	}
	mode := os.FileMode(0o600)
	if group := os.Getenv("PLUGIN_UNIX_SOCKET_GROUP"); group != "" {
		gid, err := groupID(group)
		if err == nil {
			err = os.Chown(path, -1, gid)
		}
		if err != nil {
			return nil, "", "", errors.Join(fmt.Errorf("giving the socket to group %s: %w", group, err), l.Close())
		}
		mode = 0o660
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, "", "", errors.Join(err, l.Close())
	}
	return l, "unix", path, nil
}

func groupID(group string) (int, error) {
	if gid, err := strconv.Atoi(group); err == nil {
		return gid, nil
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

func randomName() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// sameUser refuses connections from other users.
type sameUser struct{ net.Listener }

func (l sameUser) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(conn); err == nil && (uid == os.Geteuid() || uid == 0) {
			return conn, nil
		}
		conn.Close()
	}
}
