package statefile

import (
	"bytes"
	"testing"
)

// FuzzDecode: no bytes panic, and what decodes is what encode makes of it.
func FuzzDecode(f *testing.F) {
	for _, s := range []State{{}, {Index: 7, Next: 5, Local: []byte("local"), Image: []byte(`{"version":1}`)}, {Index: 1<<64 - 1, Next: 1<<63 - 1, Image: make([]byte, 300)}} {
		b, _, err := encode(3, &s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, s, err := decode(b)
		if err != nil {
			return
		}
		again, _, err := encode(h.generation, &s)
		if err != nil || !bytes.Equal(b, again) {
			t.Fatalf("%v: %x is encoded as %x", err, b, again)
		}
	})
}
