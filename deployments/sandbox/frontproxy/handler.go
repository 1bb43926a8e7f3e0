package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"time"
)

// health is the user agent of looks that nobody wants to read of.
const health = exempt + "health"

// lookAgain is how soon the end of a partition is noticed.
const lookAgain = 50 * time.Millisecond

var errLost = errors.New("the answer is lost")

type exchangeKey struct{}

// exchange is one request under way.
type exchange struct {
	handler      *handler
	method, path string
	agent        string
	user         *identity
	lost         bool
}

// handler answers for one service.
type handler struct {
	service   service
	faults    *faultFile
	requests  *os.File
	authority *x509.CertPool
	proxy     httputil.ReverseProxy
	// trusted is used for whom we have authenticated; plain for everybody else: the service sees to them.
	plain, trusted *http.Transport
}

func newHandler(s service, faults *faultFile, requests *os.File) (*handler, error) {
	target, err := url.Parse(s.Upstream)
	if err != nil {
		return nil, err
	}
	h := &handler{service: s, faults: faults, requests: requests, plain: transport(nil)}
	if s.Cluster != nil {
		if h.authority, err = s.Cluster.authority(); err != nil {
			return nil, err
		}
		own, err := tls.LoadX509KeyPair(s.Cluster.ProxyCertificate, s.Cluster.ProxyKey)
		if err != nil {
			return nil, err
		}
		h.plain = transport(&tls.Config{RootCAs: h.authority})
		h.trusted = transport(&tls.Config{RootCAs: h.authority, Certificates: []tls.Certificate{own}})
	}
	h.proxy = httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			// Host stays what the client called us: services build links from it.
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.RawQuery = target.Scheme, target.Host, p.In.URL.RawQuery
			forgetIdentity(p.Out.Header)
			if user := exchangeOf(p.In).user; user != nil {
				p.Out.Header.Del("Authorization")
				user.set(p.Out.Header)
			}
		},
		Transport:      h,
		FlushInterval:  -1,
		ModifyResponse: answered,
		ErrorHandler:   unanswered,
		ErrorLog:       log.New(io.Discard, "", 0),
	}
	return h, nil
}

// transport speaks HTTP/1.1: other protocols that a client asks for begin with it.
func transport(secured *tls.Config) *http.Transport {
	return &http.Transport{
		TLSClientConfig:     secured,
		MaxIdleConnsPerHost: 100,
		// Below the two minutes after which the services' own servers close what is idle.
		IdleConnTimeout:    time.Minute,
		DisableCompression: true,
	}
}

// RoundTrip takes the connection that goes with whoever asks.
func (h *handler) RoundTrip(r *http.Request) (*http.Response, error) {
	if exchangeOf(r).user != nil {
		return h.trusted.RoundTrip(r)
	}
	return h.plain.RoundTrip(r)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{handler: h, method: r.Method, path: r.RequestURI, agent: r.UserAgent()}
	pause(r.Context(), x.hold(r.Context()))
	struck := h.faults.decide(h.service.Name, x.method, x.path, x.agent)
	if code, refused := refusals[struck.kind]; refused {
		x.log(code)
		h.refuse(w, code, struck.rule.RetryAfter)
		return
	}
	switch struck.kind {
	case kindReset:
		x.log(0)
		abort(r)
	case kindStall:
		r = late(r, struck.rule.StallSeconds)
	case kindLost:
		x.lost = true
	}
	var err error
	if x.user, err = connectionOf(r).identify(r.TLS, h.authority); err != nil {
		x.log(http.StatusUnauthorized)
		h.answer(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
	h.proxy.ServeHTTP(&heldWriter{w, x, r.Context()}, r)
}

// late waits before the work is done; it is done even when the client has gone meanwhile.
func late(r *http.Request, seconds float64) *http.Request {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		abort(r)
	}
	pause(context.Background(), time.Duration(seconds*float64(time.Second)))
	r = r.WithContext(context.WithoutCancel(r.Context()))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return r
}

// answered is called when the service has answered, before the client hears of it.
func answered(response *http.Response) error {
	x := exchangeOf(response.Request)
	x.log(response.StatusCode)
	if !x.lost {
		return nil
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		io.Copy(io.Discard, response.Body) // all of the work is done
	}
	return errLost
}

// unanswered is called when there is nothing to answer: clients see what they would see of the service itself.
func unanswered(_ http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, errLost) {
		exchangeOf(r).log(0)
	}
	abort(r)
}

// abort ends a request without an answer, and does not return: over HTTP/1 by a reset of the connection, over HTTP/2 of
// the stream, since others use the connection, too.
func abort(r *http.Request) {
	if r.ProtoMajor == 1 {
		connectionOf(r).cut()
	}
	panic(http.ErrAbortHandler)
}

func (h *handler) refuse(w http.ResponseWriter, code int, retryAfter float64) {
	if code != http.StatusInternalServerError {
		w.Header().Set("Retry-After", strconv.FormatFloat(retryAfter, 'g', -1, 64))
	}
	h.answer(w, code, words[code]+"injected by the sandbox's faults.json")
}

// How an API server of Kubernetes begins: programs that hand on its message alone are known by it.
var words = map[int]string{
	429: "Too many requests, please try again later: ",
	500: "Internal error occurred: ",
	503: "the server is currently unable to handle the request: ",
}

// answer says it in the service's own form.
func (h *handler) answer(w http.ResponseWriter, code int, message string) {
	var body any = map[string]any{"error": map[string]any{"code": code, "message": message}}
	if h.service.Cluster != nil {
		reasons := map[int]string{401: "Unauthorized", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}
		body = map[string]any{
			"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure",
			"message": message, "reason": reasons[code], "code": code,
		}
	}
	content, _ := json.Marshal(body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	w.WriteHeader(code)
	w.Write(content)
}

func exchangeOf(r *http.Request) *exchange { return r.Context().Value(exchangeKey{}).(*exchange) }

// hold waits while the request is on the other side of a partition; it returns how much longer it takes besides.
func (x *exchange) hold(ctx context.Context) time.Duration {
	for {
		latency, held := x.handler.faults.standing(x.handler.service.Name, x.method, x.path, x.agent)
		if !held || ctx.Err() != nil {
			return latency
		}
		pause(ctx, lookAgain)
	}
}

func pause(ctx context.Context, duration time.Duration) {
	if duration <= 0 {
		return
	}
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// log adds a line; status 0 means that there was no answer. One write of one line to a file that is opened for
// appending: lines of several processes do not mix.
func (x *exchange) log(status int) {
	if x.agent == health {
		return
	}
	line := struct {
		Time    string `json:"t"`
		Service string `json:"service"`
		Method  string `json:"method"`
		Path    string `json:"path"`
		Status  int    `json:"status"`
		Agent   string `json:"ua"`
	}{
		time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00"),
		x.handler.service.Name, x.method, x.path, status, x.agent,
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.Encode(line)
	if _, err := x.handler.requests.Write(text.Bytes()); err != nil {
		log.Printf("the request log cannot be written: %v", err)
	}
}

// heldWriter stops answers that are under way, watches above all, while there is a partition.
type heldWriter struct {
	http.ResponseWriter
	exchange *exchange
	ctx      context.Context
}

func (w *heldWriter) Write(content []byte) (int, error) {
	w.exchange.hold(w.ctx)
	return w.ResponseWriter.Write(content)
}

// Unwrap lets the reverse proxy flush, and take the connection over.
func (w *heldWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
