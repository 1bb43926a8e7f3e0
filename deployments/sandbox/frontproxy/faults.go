package main

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// exempt begins the user agents of the sandbox looking after itself.
const exempt = "plumbline-sandbox/"

// Kinds that a rule draws from, and kinds that befall every request of their rule.
const (
	kindReset     = "reset"     // the connection is cut, and nothing was done
	kindLost      = "lost"      // the work is done, and the connection is cut
	kindStall     = "stall"     // the work is done after a while
	kindLatency   = "latency"   // every request takes longer
	kindPartition = "partition" // neither answered nor cut until the rule is gone
)

// refusals are the kinds that answer without work.
var refusals = map[string]int{
	"500": http.StatusInternalServerError,
	"503": http.StatusServiceUnavailable,
	"429": http.StatusTooManyRequests,
}

// rule says which requests go wrong, and how.
type rule struct {
	Service      string   `json:"service"`
	Rate         float64  `json:"rate"`
	Kinds        []string `json:"kinds"`
	StallSeconds float64  `json:"stall_seconds"`
	RetryAfter   float64  `json:"retry_after"`
	LatencyMS    float64  `json:"latency_ms"`
	Methods      []string `json:"methods"`
	Path         string   `json:"path"`
	Count        *int     `json:"count"`

	pattern *regexp.Regexp
}

// UnmarshalJSON fills in what the file leaves out.
func (r *rule) UnmarshalJSON(content []byte) error {
	type plain rule
	filled := plain{Rate: 1, Kinds: []string{"500", "503", "429", kindReset, kindStall, kindLost}, StallSeconds: 10, RetryAfter: 1}
	err := json.Unmarshal(content, &filled)
	if err == nil && len(filled.Kinds) == 0 {
		err = fmt.Errorf("a rule of %s has no kinds", filled.Service)
	}
	if err != nil {
		return err
	}
	*r = rule(filled)
	r.pattern, err = regexp.Compile(r.Path)
	return err
}

func (r *rule) matches(service, method, path string) bool {
	named := r.Service == "*" || r.Service == service || strings.HasPrefix(service, r.Service+"/")
	return named && (r.Methods == nil || slices.Contains(r.Methods, method)) && r.pattern.MatchString(path)
}

func (r *rule) is(kind string) bool { return slices.Contains(r.Kinds, kind) }

// fault is what to do to one request; its kind is empty where nothing goes wrong.
type fault struct {
	kind string
	rule *rule
}

// draws are one service's: the same seed and order of its requests give the same faults.
type draws struct {
	random *rand.Rand
	left   map[int]int
}

// faultFile is the file as it is at this moment. One that cannot be read keeps the last good one in force.
type faultFile struct {
	path string

	lock  sync.Mutex
	stamp string
	seed  int64
	rules []rule
	drawn map[string]*draws
}

// decide says what befalls one request: the first rule that strikes wins.
func (f *faultFile) decide(service, method, path, agent string) fault {
	if strings.HasPrefix(agent, exempt) {
		return fault{}
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	f.refresh()
	for number := range f.rules {
		each := &f.rules[number]
		if each.is(kindLatency) || each.is(kindPartition) || !each.matches(service, method, path) {
			continue
		}
		own := f.of(service)
		left, counted := own.left[number]
		if counted && left <= 0 || own.random.Float64() >= each.Rate {
			continue
		}
		if counted {
			own.left[number]--
		}
		kind := each.Kinds[own.random.IntN(len(each.Kinds))]
		if kind == kindLost && (method == http.MethodGet || method == http.MethodHead) {
			kind = kindReset // a read does nothing that could be lost sight of, and a watch has no end to wait for
		}
		return fault{kind, each}
	}
	return fault{}
}

// standing says how much longer every such request takes, and whether it is held.
func (f *faultFile) standing(service, method, path, agent string) (latency time.Duration, held bool) {
	if strings.HasPrefix(agent, exempt) {
		return 0, false
	}
	f.lock.Lock()
	defer f.lock.Unlock()
	f.refresh()
	for number := range f.rules {
		each := &f.rules[number]
		if !each.matches(service, method, path) {
			continue
		}
		if each.is(kindLatency) {
			latency += time.Duration(each.LatencyMS * float64(time.Millisecond))
		}
		held = held || each.is(kindPartition)
	}
	return latency, held
}

func (f *faultFile) of(service string) *draws {
	known, there := f.drawn[service]
	if !there {
		hash := fnv.New64a()
		hash.Write([]byte(service))
		known = &draws{rand.New(rand.NewPCG(uint64(f.seed), hash.Sum64())), map[int]int{}}
		for number, each := range f.rules {
			if each.Count != nil {
				known.left[number] = *each.Count
			}
		}
		f.drawn[service] = known
	}
	return known
}

func (f *faultFile) refresh() {
	stamp := "none"
	if status, err := os.Stat(f.path); err == nil {
		stamp = fmt.Sprint(status.ModTime().UnixNano(), status.Size())
	}
	if stamp == f.stamp {
		return
	}
	f.stamp = stamp
	var document struct {
		Seed  int64  `json:"seed"`
		Rules []rule `json:"rules"`
	}
	content, err := os.ReadFile(f.path)
	if err == nil {
		document.Seed = 1
		err = json.Unmarshal(content, &document)
	}
	if err != nil && !os.IsNotExist(err) {
		log.Printf("%s is ignored: %v", f.path, err)
		return
	}
	f.seed, f.rules, f.drawn = document.Seed, document.Rules, map[string]*draws{}
}
