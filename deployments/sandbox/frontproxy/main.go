// The sandbox's front proxy: stands before HTTP services, logs each request, and makes some of them go wrong.
//
//	front-proxy CONFIG.json
//
// Which requests go wrong is written in a file that is read again when it changes (faults.go). Before a Kubernetes API
// server it authenticates whom client certificates name, and says who that is by request headers (identity.go).
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"time"
)

// config is the file that the program is given.
type config struct {
	// Log gets one line of JSON for each request.
	Log string `json:"log"`
	// Faults need not exist: then nothing goes wrong.
	Faults   string    `json:"faults"`
	Services []service `json:"services"`
}

// service is something that listens behind us.
type service struct {
	// Name in the log and in rules, such as `magnum` or `kubernetes/dev`.
	Name string `json:"name"`
	// Listen is the address that clients know.
	Listen string `json:"listen"`
	// Upstream is the service's URL.
	Upstream string `json:"upstream"`
	// Cluster is set where the service is a Kubernetes API server.
	Cluster *cluster `json:"cluster"`
}

func main() {
	log.SetFlags(log.LstdFlags | log.LUTC)
	if len(os.Args) != 2 {
		log.Fatal("front-proxy takes one argument: the path of its configuration")
	}
	if err := run(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var wanted config
	if err := json.Unmarshal(content, &wanted); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	requests, err := os.OpenFile(wanted.Log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	faults := &faultFile{path: wanted.Faults}
	ended := make(chan error)
	for _, each := range wanted.Services {
		serve, err := each.open(faults, requests)
		if err != nil {
			return fmt.Errorf("%s: %w", each.Name, err)
		}
		go func() { ended <- serve() }()
	}
	return <-ended
}

// open listens, and returns what answers.
func (s service) open(faults *faultFile, requests *os.File) (func() error, error) {
	handler, err := newHandler(s, faults, requests)
	if err != nil {
		return nil, err
	}
	server := &http.Server{
		Handler:           handler,
		ConnContext:       withConnection,
		IdleTimeout:       3 * time.Minute,
		ReadHeaderTimeout: time.Minute,
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return nil, err
	}
	if s.Cluster == nil {
		return func() error { return server.Serve(listener) }, nil
	}
	server.TLSConfig, err = s.Cluster.serverTLS()
	return func() error { return server.ServeTLS(listener, "", "") }, err
}
