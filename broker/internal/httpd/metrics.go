package httpd

import "github.com/prometheus/client_golang/prometheus"

// Sample is one metric value. Counters never fall while the process lives.
type Sample struct {
	Name, Help string // Name with its unit and, for counters, _total
	Counter    bool   // else a gauge
	Labels     map[string]string
	Value      float64
}

// samples is a collector without a fixed list: what there is to count depends on
// the broker.
type samples func() []Sample

// Describe sends nothing, which makes the collector an unchecked one.
func (samples) Describe(chan<- *prometheus.Desc) {}

// Collect sends the values of this moment.
func (f samples) Collect(out chan<- prometheus.Metric) {
	if f == nil {
		return
	}
	for _, s := range f() {
		kind := prometheus.GaugeValue
		if s.Counter {
			kind = prometheus.CounterValue
		}
		m, err := prometheus.NewConstMetric(prometheus.NewDesc(s.Name, s.Help, nil, s.Labels), kind, s.Value)
		if err != nil {
			m = prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		}
		out <- m
	}
}
