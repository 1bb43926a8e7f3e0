package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

// cluster is how the proxy stands before an API server; all are paths of PEM files.
type cluster struct {
	// Authority signed the API server's certificate and those of its clients.
	Authority string `json:"authority"`
	// Certificate and Key are the API server's own.
	Certificate string `json:"certificate"`
	Key         string `json:"key"`
	// ProxyCertificate and ProxyKey tell the API server that it may believe our headers.
	ProxyCertificate string `json:"proxy_certificate"`
	ProxyKey         string `json:"proxy_key"`
}

// identity is whom a client certificate names; the header names are kube-apiserver's flags.
type identity struct {
	user        string
	groups      []string
	fingerprint string
}

func (i *identity) set(headers http.Header) {
	headers.Set("X-Remote-User", i.user)
	for _, group := range i.groups {
		headers.Add("X-Remote-Group", group)
	}
	// What kube-apiserver itself notes of a client certificate; %2f is a slash in the name of an extra.
	headers.Set("X-Remote-Extra-Authentication.kubernetes.io%2fcredential-Id", "X509SHA256="+i.fingerprint)
}

func forgetIdentity(headers http.Header) {
	for name := range headers {
		if strings.HasPrefix(name, "X-Remote-") {
			headers.Del(name)
		}
	}
}

func (c *cluster) authority() (*x509.CertPool, error) {
	content, err := os.ReadFile(c.Authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("%s holds no certificate", c.Authority)
	}
	return pool, nil
}

func (c *cluster) serverTLS() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return nil, err
	}
	authority, err := c.authority()
	if err != nil {
		return nil, err
	}
	// Asked for, and verified later: as an API server, we answer 401 to one that is not good.
	return &tls.Config{
		Certificates: []tls.Certificate{certificate},
		ClientAuth:   tls.RequestClientCert,
		ClientCAs:    authority,
	}, nil
}

type connectionKey struct{}

// connection is a client's, and whom its certificate names.
type connection struct {
	net.Conn
	once sync.Once
	user *identity
	err  error
}

func withConnection(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, &connection{Conn: conn})
}

func connectionOf(r *http.Request) *connection {
	return r.Context().Value(connectionKey{}).(*connection)
}

// identify returns nobody where there is no certificate.
func (c *connection) identify(state *tls.ConnectionState, authority *x509.CertPool) (*identity, error) {
	c.once.Do(func() {
		if state == nil || len(state.PeerCertificates) == 0 {
			return
		}
		leaf, between := state.PeerCertificates[0], x509.NewCertPool()
		for _, each := range state.PeerCertificates[1:] {
			between.AddCert(each)
		}
		usages := []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		_, c.err = leaf.Verify(x509.VerifyOptions{Roots: authority, Intermediates: between, KeyUsages: usages})
		if c.err == nil && leaf.Subject.CommonName != "" {
			sum := sha256.Sum256(leaf.Raw)
			c.user = &identity{leaf.Subject.CommonName, leaf.Subject.Organization, hex.EncodeToString(sum[:])}
		}
	})
	return c.user, c.err
}

// cut closes the connection so that the client sees it reset, not ended.
func (c *connection) cut() {
	inner := c.Conn
	if secured, is := inner.(*tls.Conn); is {
		inner = secured.NetConn()
	}
	if plain, is := inner.(*net.TCPConn); is {
		plain.SetLinger(0)
	}
}
