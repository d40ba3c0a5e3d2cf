// Package crashstate enumerates what a power loss may leave of a disk, for tests that
// stop at every call to the file system and want every promise kept in every state:
//
//	faults.SetHook(func(c vfs.Call) error {
//		crashstate.Each(mem, crashstate.Options{Leaves: 256, Samples: 16}, func(state *vfs.Mem, how string) {
//			if !seen[crashstate.Hash(state)] { … open the log on state and judge it … }
//		})
//		return nil
//	})
//
// What is not synced of a [vfs.Mem] is decided unit by unit: each changed block of
// 4 KiB or sector of 512 bytes is lost or kept, in any order, each changed size and
// each truncation, each name that was made, removed or moved. Each decides all of them
// in all ways where these are few, and otherwise tries nothing kept, everything
// kept, each unit kept alone and lost alone, the first so many kept and the last so
// many, and random shares. With sectors one of each file is torn as well. A file that
// grew without its data can hold zeros there, or garbage: random bytes, or what a
// deleted file left.
//
// # Limits
//
// A call that is under way counts as not begun or as done; what a failed or a partial
// call leaves is tested with faults of vfs. Renames are atomic.
package crashstate
