package item

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"<a&b>","uid":"u"},` +
	`"spec":{"big":9007199254740993,"max":9223372036854775807,"over":18446744073709551615,` +
	`"tiny":1e-7,"exact":0.1,"odd":1.0,"exp":1E3,"negative":-0,"list":[1,2.5,null,true,{"x":12345678901234567890}]}}`

func TestNumbersKeepTheirText(t *testing.T) {
	object, err := Decode([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := Encode(object)
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []string{
		`"big":9007199254740993`, `"max":9223372036854775807`, `"over":18446744073709551615`,
		`"tiny":1e-7`, `"exact":0.1`, `"odd":1.0`, `"exp":1E3`, `"negative":-0`, `12345678901234567890`, `"<a&b>"`,
	} {
		if !strings.Contains(string(raw), number) {
			t.Errorf("%s is lost in %s", number, raw)
		}
	}
	if big := object.Object["spec"].(map[string]any)["big"]; big != int64(9007199254740993) {
		t.Errorf("an integer became %T", big)
	}
	if !reflect.DeepEqual(object.DeepCopy().Object, object.Object) {
		t.Error("a deep copy differs")
	}
}

func TestDecodeRefusesWhatIsNoObject(t *testing.T) {
	for _, raw := range []string{"", " ", "null", "[]", `"x"`, "1", "{", `{"a":1}{"b":2}`, `{"a":1} x`, `{"a":1e}`} {
		if object, err := Decode([]byte(raw)); err == nil {
			t.Errorf("%q: got %v", raw, object)
		}
	}
}

func TestFingerprint(t *testing.T) {
	object, err := Decode([]byte(pod))
	if err != nil {
		t.Fatal(err)
	}
	f := NewFingerprint(object)
	if !f.Matches(object.DeepCopy()) {
		t.Error("an equal object does not match")
	}
	for name, change := range map[string]func(map[string]any){
		"value":       func(m map[string]any) { m["kind"] = "Pods" },
		"added key":   func(m map[string]any) { m["extra"] = nil },
		"removed key": func(m map[string]any) { delete(m, "apiVersion") },
		"type":        func(m map[string]any) { m["spec"].(map[string]any)["list"].([]any)[0] = float64(1) },
		"order":       func(m map[string]any) { l := m["spec"].(map[string]any)["list"].([]any); l[0], l[1] = l[1], l[0] },
		"swap": func(m map[string]any) {
			meta := m["metadata"].(map[string]any)
			meta["name"], meta["uid"] = meta["uid"], meta["name"]
		},
		"foreign type": func(m map[string]any) { m["kind"] = json.Number("1") },
	} {
		changed := object.DeepCopy()
		change(changed.Object)
		if f.Matches(changed) {
			t.Errorf("a changed %s is not noticed", name)
		}
	}
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(pod))
	f.Add([]byte(`{"a":[[],{},""],"b":1e400}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		object, err := Decode(raw)
		if err != nil {
			return
		}
		print := NewFingerprint(object)
		encoded, err := Encode(object)
		if err != nil {
			t.Fatalf("decoded, but not encoded: %v", err)
		}
		again, err := Decode(encoded)
		if err != nil {
			t.Fatalf("%s: %v", encoded, err)
		}
		if !reflect.DeepEqual(again.Object, object.Object) || !print.Matches(again) {
			t.Fatalf("%s became %s", raw, encoded)
		}
	})
}

func BenchmarkUnchangedItem(b *testing.B) {
	raw := []byte(pod)
	b.ReportAllocs()
	for b.Loop() {
		object, err := Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		if !NewFingerprint(object).Matches(object) {
			b.Fatal("changed")
		}
	}
}
