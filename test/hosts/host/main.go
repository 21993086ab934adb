// Host runs plugins behind the plugin client of a Velero release, as the server
// of that release does, for a test that tells it what to call. It is built once
// for each of the modules beside it, which choose the release, so it names
// nothing that one of them lacks: it finds kinds of plugins and their methods by
// name.
//
// It is started as the server is, `host server FLAGS...`, with the socket of a
// JSON-RPC client as descriptor 3, and writes the server's log to stdout.
package main

import (
	"fmt"
	"net"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"

	"github.com/sirupsen/logrus"
	"github.com/spf13/pflag"
	"github.com/vmware-tanzu/velero/pkg/features"
	"github.com/vmware-tanzu/velero/pkg/plugin/framework"
	"github.com/vmware-tanzu/velero/pkg/util/logging"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "run-plugins" {
		// Velero looks for plugins in its own executable as well.
		framework.NewServer().Serve()
		return
	}
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "host:", err)
		os.Exit(1)
	}
}

// serve answers calls until the client closes the connection.
func serve(args []string) error {
	flags := pflag.NewFlagSet("server", pflag.ContinueOnError)
	flags.ParseErrorsWhitelist.UnknownFlags = true // the server has many more
	level := flags.String("log-level", "info", "")
	plugins := flags.String("plugin-dir", "/plugins", "")
	enabled := flags.StringSlice("features", nil, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	logLevel, err := logrus.ParseLevel(*level)
	if err != nil {
		return err
	}
	features.NewFeatureFlagSet(*enabled...)

	connection, err := client()
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	h := newHost(*plugins, logging.DefaultLogger(logLevel, logging.FormatJSON), logLevel)
	if err := server.RegisterName("Host", h); err != nil {
		return err
	}
	server.ServeCodec(jsonrpc.NewServerCodec(connection))
	return nil
}

// client takes the socket that the process was started with, so that plugins do
// not inherit it.
func client() (net.Conn, error) {
	socket := os.NewFile(3, "client")
	defer socket.Close()
	return net.FileConn(socket)
}
