// Checks a log on disk with Go's own golang.org/x/mod/sumdb packages, which share no code with ours:
//
//	sumdb LOG_DIRECTORY VERIFIER_KEY [PROOFS_DIRECTORY]
//
// The checkpoint's signature, every tile it needs, and every entry are verified. Of PROOFS_DIRECTORY, where given,
// every *.checkpoint must be signed and be consistent with the log, and every line of every *.proofs must hold:
//
//	record SIZE ROOT INDEX LEAF [HASH...]
//	tree SIZE ROOT OLD_SIZE OLD_ROOT [HASH...]
//
// With `cosigned CHECKPOINT LOG_KEY WITNESS_KEY` it checks the log's signature of one checkpoint, and the witness's
// cosignature/v1 of it, whose message is built here from c2sp.org/tlog-cosignature.
package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tiles of the Go checksum database are tile/<height>/<level>/<n>; a C2SP log has height 8 and leaves it out.
const height = 8

type tiles struct{ root string }

func (t tiles) Height() int { return height }

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	contents := make([][]byte, len(wanted))
	for i, tile := range wanted {
		name := "tile/" + strings.TrimPrefix(tile.Path(), "tile/8/")
		content, err := os.ReadFile(filepath.Join(t.root, filepath.FromSlash(name)))
		if err != nil {
			return nil, err
		}
		contents[i] = content
	}
	return contents, nil
}

func main() {
	if len(os.Args) == 5 && os.Args[1] == "cosigned" {
		cosigned(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	if len(os.Args) != 3 && len(os.Args) != 4 {
		fail(fmt.Errorf("usage: sumdb LOG_DIRECTORY VERIFIER_KEY [PROOFS_DIRECTORY]"))
	}
	log, err := note.NewVerifier(os.Args[2])
	fail(err)
	root := os.Args[1]
	head := checkpoint(filepath.Join(root, "checkpoint"), log)
	hashes := tlog.TileHashReader(head, tiles{root})
	for n := int64(0); n<<height < head.N; n++ {
		bundle(root, head, hashes, n)
	}
	earlier, proofs := 0, 0
	if len(os.Args) == 4 {
		earlier, proofs = given(os.Args[3], log, head, hashes)
	}
	fmt.Printf("%d entries, %d earlier checkpoints, %d proofs verified\n", head.N, earlier, proofs)
}

func cosigned(path, logKey, witnessKey string) {
	log, err := note.NewVerifier(logKey)
	fail(err)
	text, err := os.ReadFile(path)
	fail(err)
	opened, err := note.Open(text, note.VerifierList(log))
	fail(err)
	parts := strings.SplitN(witnessKey, "+", 3)
	if len(parts) != 3 {
		fail(fmt.Errorf("not a verifier key: %s", witnessKey))
	}
	key, err := base64.StdEncoding.DecodeString(parts[2])
	fail(err)
	id := sha256.Sum256(append([]byte(parts[0]+"\n"), key...))
	if len(key) != 33 || key[0] != 4 || hex.EncodeToString(id[:4]) != parts[1] {
		fail(fmt.Errorf("not a witness's key: %s", witnessKey))
	}
	for _, line := range opened.UnverifiedSigs {
		value, err := base64.StdEncoding.DecodeString(line.Base64)
		fail(err)
		if line.Name != parts[0] || len(value) != 4+8+64 || string(value[:4]) != string(id[:4]) {
			continue
		}
		time := binary.BigEndian.Uint64(value[4:12])
		message := fmt.Sprintf("cosignature/v1\ntime %d\n%s", time, opened.Text)
		if !ed25519.Verify(ed25519.PublicKey(key[1:]), []byte(message), value[12:]) {
			fail(fmt.Errorf("the cosignature of %s does not verify", parts[0]))
		}
		fmt.Printf("cosigned by %s at %d\n", parts[0], time)
		return
	}
	fail(fmt.Errorf("no cosignature of %s", parts[0]))
}

func checkpoint(path string, log note.Verifier) tlog.Tree {
	text, err := os.ReadFile(path)
	fail(err)
	opened, err := note.Open(text, note.VerifierList(log))
	fail(err)
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) != 4 || lines[0] != log.Name() {
		fail(fmt.Errorf("%s: not a checkpoint of %s", path, log.Name()))
	}
	return tlog.Tree{N: number(lines[1]), Hash: hash(lines[2])}
}

// bundle compares the entries of one bundle with the leaf hashes, which the reader has authenticated.
func bundle(root string, head tlog.Tree, hashes tlog.HashReader, n int64) {
	width := head.N - n<<height
	if width > 1<<height {
		width = 1 << height
	}
	indexes := make([]int64, width)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, n<<height+int64(i))
	}
	leaves, err := hashes.ReadHashes(indexes)
	fail(err)
	tile := tlog.Tile{H: height, L: 0, N: n, W: int(width)}
	name := "tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/")
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	fail(err)
	for i, leaf := range leaves {
		if len(content) < 2 || len(content) < 2+int(binary.BigEndian.Uint16(content)) {
			fail(fmt.Errorf("%s ends within entry %d", name, i))
		}
		end := 2 + int(binary.BigEndian.Uint16(content))
		if tlog.RecordHash(content[2:end]) != leaf {
			fail(fmt.Errorf("entry %d has another hash", n<<height+int64(i)))
		}
		content = content[end:]
	}
	if len(content) != 0 {
		fail(fmt.Errorf("%s goes on after its last entry", name))
	}
}

func given(directory string, log note.Verifier, head tlog.Tree, hashes tlog.HashReader) (int, int) {
	checkpoints, err := filepath.Glob(filepath.Join(directory, "*.checkpoint"))
	fail(err)
	for _, path := range checkpoints {
		old := checkpoint(path, log)
		proof, err := tlog.ProveTree(head.N, old.N, hashes)
		fail(err)
		fail(tlog.CheckTree(proof, head.N, head.Hash, old.N, old.Hash))
	}
	lists, err := filepath.Glob(filepath.Join(directory, "*.proofs"))
	fail(err)
	count := 0
	for _, path := range lists {
		text, err := os.ReadFile(path)
		fail(err)
		for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
			if err := proof(strings.Fields(line)); err != nil {
				fail(fmt.Errorf("%s: %q: %v", path, line, err))
			}
			count++
		}
	}
	return len(checkpoints), count
}

func proof(words []string) error {
	if len(words) < 5 {
		return fmt.Errorf("too short")
	}
	path := make([]tlog.Hash, 0, len(words))
	for _, word := range words[5:] {
		path = append(path, hash(word))
	}
	switch words[0] {
	case "record":
		return tlog.CheckRecord(path, number(words[1]), hash(words[2]), number(words[3]), hash(words[4]))
	case "tree":
		return tlog.CheckTree(path, number(words[1]), hash(words[2]), number(words[3]), hash(words[4]))
	}
	return fmt.Errorf("neither record nor tree")
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	fail(err)
	return n
}

func hash(text string) tlog.Hash {
	h, err := tlog.ParseHash(text)
	fail(err)
	return h
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
