package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/logq/logq/internal/protocol"
	"github.com/logq/logq/internal/vfs"
	"github.com/logq/logq/record"
	"github.com/logq/logq/segments"
)

func segmentCommand(env Env) *cli.Command {
	return &cli.Command{
		Name: "segment", Usage: "look into segment files",
		Subcommands: []*cli.Command{segmentDump(env)},
	}
}

func segmentDump(env Env) *cli.Command {
	return &cli.Command{
		Name: "dump", Usage: "print the frames and batches of segment files, with the verdict of every checksum", ArgsUsage: "FILE…",
		Description: "Reads only, and needs no broker; a file that a live broker writes is shown as far as it has come.\n" +
			"Exit code 4 means damage. A torn end (a write that a crash cut short) and a stale one (the remains of an\n" +
			"overwritten log) are no damage: the broker cuts them off when it opens the log.\n\nExamples:\n" +
			"  logq segment dump data/1/*/*.seg\n" +
			"  logq segment dump --records FILE\n" +
			"  logq segment dump --json FILE | jq -c 'select(.type == \"frame\") | [.index, .term, .payload_crc]'",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "records", Usage: "print the records of each batch too"},
			jsonFlag("print one JSON object a line"),
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return usagef("%s: a file is missing; usage: %s", c.Command.HelpName, usageLine(c.Command))
			}
			out := bufio.NewWriterSize(env.Out, writeBufferBytes)
			d := &dump{out: out, json: c.Bool("json"), records: c.Bool("records")}
			var faults []error
			for _, name := range c.Args().Slice() {
				faults = append(faults, d.file(name))
			}
			if err := errors.Join(append(faults, out.Flush())...); err != nil {
				if errors.Is(err, errDamaged) || errors.Is(err, segments.ErrCorrupt) {
					return &exitError{code: ExitDamaged, err: err}
				}
				return err
			}
			return nil
		},
	}
}

// errDamaged marks what segment dump ends with when a checksum does not hold.
var errDamaged = errors.New("damaged")

// dump prints segment files.
type dump struct {
	out     io.Writer
	json    bool
	records bool
	decoder *record.Decoder
	bad     int // frames of the log whose batch does not verify, in this file
}

// The lines of segment dump --json; "type" tells them apart.
type (
	dumpFile struct {
		Type         string `json:"type"` // file
		Path         string `json:"path"`
		Version      uint32 `json:"version"`
		TopicID      string `json:"topic_id"`
		Partition    uint32 `json:"partition"`
		Segment      string `json:"segment"`
		BaseIndex    uint64 `json:"base_index"`
		BaseOffset   int64  `json:"base_offset"`
		BasePrevTerm uint64 `json:"base_prev_term"`
		Created      string `json:"created,omitempty"`
	}
	dumpFrame struct {
		Type           string     `json:"type"` // frame; behind_end for what is no part of the log
		Pos            int64      `json:"pos"`
		Index          uint64     `json:"index"`
		Term           uint64     `json:"term"`
		PrevTerm       uint64     `json:"prev_term"`
		Kind           string     `json:"kind"`
		BaseOffset     int64      `json:"base_offset"`
		Records        uint32     `json:"records"`
		MaxTimestamp   string     `json:"max_timestamp,omitempty"`
		PayloadBytes   int        `json:"payload_bytes"`
		PayloadCRC     string     `json:"payload_crc"`
		WriteTerm      uint64     `json:"write_term"`
		DurableThrough uint64     `json:"durable_through"`
		Commit         uint64     `json:"commit"`
		CRC            string     `json:"crc"` // ok, or what is wrong
		Batch          *dumpBatch `json:"batch,omitempty"`
	}
	dumpBatch struct {
		Codec         string `json:"codec"`
		LeaderEpoch   int32  `json:"leader_epoch"`
		BaseTimestamp string `json:"base_timestamp"`
		ProducerID    int64  `json:"producer_id"`
		ProducerEpoch int16  `json:"producer_epoch"`
		BaseSequence  int32  `json:"base_sequence"`
		CRC           string `json:"crc"`
	}
	dumpEnd struct {
		Type       string `json:"type"`   // end
		Ending     string `json:"ending"` // clean, stale, torn, corrupt
		Detail     string `json:"detail,omitempty"`
		Pos        int64  `json:"pos"`
		FileBytes  int64  `json:"file_bytes"`
		Frames     int    `json:"frames"`
		LastIndex  uint64 `json:"last_index"`
		NextOffset int64  `json:"next_offset"`
		Damaged    bool   `json:"damaged"`
	}
)

var errHeaderOnly = errors.New("only the header was wanted")

// file prints one file.
func (d *dump) file(name string) error {
	d.bad = 0
	fsys := vfs.OS()
	info, err := segments.Inspect(fsys, name, func(segments.FrameInfo) error { return errHeaderOnly })
	if err != nil && !errors.Is(err, errHeaderOnly) {
		return err
	}
	if err := d.printFile(name, info.Header); err != nil {
		return err
	}
	if info, err = segments.Inspect(fsys, name, d.frame); err != nil {
		return err
	}
	damaged := info.Ending == segments.EndCorrupt || d.bad > 0
	if err := d.printEnd(info, damaged); err != nil {
		return err
	}
	switch {
	case d.bad > 0:
		return fmt.Errorf("%s is %w: %s whose batch does not verify", name, errDamaged, plural(int64(d.bad), "frame"))
	case damaged:
		return fmt.Errorf("%s is %w at position %d: %s", name, errDamaged, info.End, info.Detail)
	}
	return nil
}

func (d *dump) line(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = d.out.Write(append(b, '\n'))
	return err
}

func (d *dump) printFile(name string, h segments.FileHeader) error {
	f := dumpFile{
		Type: "file", Path: name, Version: h.Version, TopicID: protocol.TopicID(h.Identity.Topic).String(), Partition: h.Identity.Partition,
		Segment: h.ID.String(), BaseIndex: uint64(h.BaseIndex), BaseOffset: int64(h.BaseOffset), BasePrevTerm: uint64(h.BasePrevTerm), Created: stamp(h.Created),
	}
	if d.json {
		return d.line(f)
	}
	_, err := fmt.Fprintf(d.out, "file     %s\ntopic    %s, partition %d\nsegment  %s, format %d, created %s\nbase     index %d, offset %d, previous term %d\n\n"+
		"%12s %6s %6s %-7s %12s %8s %9s %-7s %12s %12s %12s  %s\n",
		f.Path, f.TopicID, f.Partition, f.Segment, f.Version, orDash(f.Created), f.BaseIndex, f.BaseOffset, f.BasePrevTerm,
		"INDEX", "TERM", "WRITE", "KIND", "OFFSET", "RECORDS", "BYTES", "CODEC", "DURABLE", "COMMIT", "POSITION", "CRC")
	return err
}

// stamp writes milliseconds since the epoch as a time, "" for none.
func stamp(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format(timeLayout)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func (d *dump) frame(i segments.FrameInfo) error {
	f := i.Frame
	out := dumpFrame{
		Type: "frame", Pos: i.Pos, Index: uint64(f.Index), Term: uint64(f.Term), PrevTerm: uint64(f.PrevTerm), Kind: f.Kind.String(),
		BaseOffset: int64(f.BaseOffset), Records: f.Records, MaxTimestamp: stamp(f.MaxTimestamp), PayloadBytes: len(f.Payload),
		PayloadCRC: fmt.Sprintf("%08x", crc32.Checksum(f.Payload, castagnoli)), WriteTerm: uint64(i.Local.WriteTerm),
		DurableThrough: uint64(i.Local.DurableThrough), Commit: uint64(i.Local.Commit), CRC: "ok",
	}
	if i.Fault != "" {
		out.Type, out.CRC = "behind_end", i.Fault
	}
	var batch record.Batch
	if f.Kind == segments.KindData && i.Fault == "" {
		batch, out.Batch = d.batch(f.Payload)
	}
	if err := d.printFrame(&out); err != nil {
		return err
	}
	if d.records && batch != nil {
		return d.printRecords(batch)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// batch looks into a data frame. A batch that does not verify in a frame that
// does was damaged before it was stored.
func (d *dump) batch(payload []byte) (record.Batch, *dumpBatch) {
	b, rest, err := record.Next(payload)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind the batch", len(rest))
	}
	if err == nil {
		err = b.Verify()
	}
	if err != nil {
		d.bad++
		return nil, &dumpBatch{CRC: err.Error()}
	}
	return b, &dumpBatch{
		Codec: b.Codec().String(), LeaderEpoch: b.LeaderEpoch(), BaseTimestamp: stamp(b.BaseTimestamp()),
		ProducerID: b.ProducerID(), ProducerEpoch: b.ProducerEpoch(), BaseSequence: b.BaseSequence(), CRC: "ok",
	}
}

func (d *dump) printFrame(f *dumpFrame) error {
	if d.json {
		return d.line(f)
	}
	codec, verdict := "-", f.CRC
	if f.Batch != nil {
		codec = f.Batch.Codec
		if f.Batch.CRC != "ok" {
			verdict = "frame ok, batch: " + f.Batch.CRC
		}
	}
	if f.Type == "behind_end" {
		verdict = "NOT IN THE LOG: " + verdict
	}
	_, err := fmt.Fprintf(d.out, "%12d %6d %6d %-7s %12d %8d %9d %-7s %12d %12d %12d  %s\n", f.Index, f.Term, f.WriteTerm, f.Kind, f.BaseOffset,
		f.Records, f.PayloadBytes, orDash(codec), f.DurableThrough, f.Commit, f.Pos, verdict)
	return err
}

// printRecords prints what a batch holds: one line a record, or one object.
func (d *dump) printRecords(b record.Batch) error {
	if d.decoder == nil {
		d.decoder = record.NewDecoder(record.DecoderOptions{})
	}
	if err := d.decoder.Reset(b); err != nil {
		return err
	}
	for d.decoder.Next() {
		r := d.decoder.Record()
		if !d.json {
			if _, err := fmt.Fprintf(d.out, "%14s %d  %s  key=%s value=%q\n", "record", r.Offset, stamp(r.Timestamp), keyText(r.Key), r.Value); err != nil {
				return err
			}
			continue
		}
		out := dumpRecord{Type: "record", Offset: int64(r.Offset), Timestamp: stamp(r.Timestamp)}
		out.Key, out.KeyBase64 = textOrBytes(r.Key)
		out.Value, out.ValueBase64 = textOrBytes(r.Value)
		if err := d.line(out); err != nil {
			return err
		}
	}
	return d.decoder.Err()
}

func keyText(key []byte) string {
	if key == nil {
		return "-"
	}
	return fmt.Sprintf("%q", key)
}

type dumpRecord struct {
	Type        string  `json:"type"` // record, behind its frame
	Offset      int64   `json:"offset"`
	Timestamp   string  `json:"timestamp"`
	Key         *string `json:"key,omitempty"`
	KeyBase64   []byte  `json:"key_base64,omitempty"`
	Value       *string `json:"value,omitempty"`
	ValueBase64 []byte  `json:"value_base64,omitempty"`
}

func (d *dump) printEnd(i segments.FileInfo, damaged bool) error {
	e := dumpEnd{
		Type: "end", Ending: string(i.Ending), Detail: i.Detail, Pos: i.End, FileBytes: i.Size, Frames: i.Frames,
		LastIndex: uint64(i.Last), NextOffset: int64(i.Next), Damaged: damaged,
	}
	if d.json {
		return d.line(e)
	}
	detail := ""
	if e.Detail != "" {
		detail = ": " + e.Detail
	}
	_, err := fmt.Fprintf(d.out, "\nend      %s at %d of %d bytes%s\nframes   %d, last index %d, next offset %d\n\n",
		e.Ending, e.Pos, e.FileBytes, detail, e.Frames, e.LastIndex, e.NextOffset)
	return err
}
