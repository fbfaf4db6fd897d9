// Other people's verifiers behind one line protocol: a question a line on standard input, JSON, an answer a line on standard output.
//
// Ours is the protocol; the judgement is go-sev-guest's, go-tdx-guest's, go-tpm-tools' and go-eventlog's, called through their public
// functions, with what the question brings and nothing from any network.
package main

import (
	"bufio"
	"crypto"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/go-eventlog/register"
	"github.com/google/go-eventlog/tcg"
	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	snpverify "github.com/google/go-sev-guest/verify"
	snptrust "github.com/google/go-sev-guest/verify/trust"
	tdxverify "github.com/google/go-tdx-guest/verify"
	tpmpb "github.com/google/go-tpm-tools/proto/tpm"
	tpmquote "github.com/google/go-tpm-tools/quote"
	"github.com/google/logger"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"io"
)

type question struct {
	Kind string            `json:"kind"`
	At   int64             `json:"at"`
	Blob map[string][]byte `json:"blobs"` // base64
	Text map[string]string `json:"texts"`
	// Register values by index, of one bank; the hash is in Text["bank"].
	Registers map[uint32][]byte `json:"registers"`
	// What go-tdx-guest would fetch: a part of the URL -> body and issuer chain.
	Fetched []struct {
		Part   string `json:"part"`
		Body   []byte `json:"body"`
		Header string `json:"header"`
		Chain  string `json:"chain"`
	} `json:"fetched"`
}

type answer struct {
	OK    bool   `json:"ok"`
	Error string `json:"error"`
	Panic bool   `json:"panic"`
}

func certificate(der []byte) (*x509.Certificate, error) {
	if block, _ := pem.Decode(der); block != nil {
		der = block.Bytes
	}
	return x509.ParseCertificate(der)
}

func product(name string) *spb.SevProduct {
	names := map[string]spb.SevProduct_SevProductName{
		"Milan": spb.SevProduct_SEV_PRODUCT_MILAN,
		"Genoa": spb.SevProduct_SEV_PRODUCT_GENOA,
		"Turin": spb.SevProduct_SEV_PRODUCT_TURIN,
	}
	return &spb.SevProduct{Name: names[name], MachineStepping: &wrapperspb.UInt32Value{Value: 0}}
}

func snp(q *question) error {
	report, err := abi.ReportToProto(q.Blob["report"])
	if err != nil {
		return err
	}
	line := q.Text["product"]
	roots := &snptrust.AMDRootCerts{ProductLine: line, Product: line, ProductCerts: &snptrust.ProductCerts{}}
	ark, err := certificate(q.Blob["ark"])
	if err != nil {
		return err
	}
	ask, err := certificate(q.Blob["ask"])
	if err != nil {
		return err
	}
	roots.ProductCerts.Ark = ark
	chain := &spb.CertificateChain{ArkCert: ark.Raw}
	if vlek, found := q.Blob["vlek"]; found {
		roots.ProductCerts.Asvk = ask
		chain.VlekCert, chain.AskCert = vlek, ask.Raw
	} else {
		roots.ProductCerts.Ask = ask
		chain.VcekCert, chain.AskCert = q.Blob["vcek"], ask.Raw
	}
	options := &snpverify.Options{
		DisableCertFetching: true,
		Now:                 time.Unix(q.At, 0),
		TrustedRoots:        map[string][]*snptrust.AMDRootCerts{line: {roots}},
		Product:             product(line),
	}
	attestation := &spb.Attestation{Report: report, CertificateChain: chain, Product: product(line)}
	return snpverify.SnpAttestation(attestation, options)
}

type canned struct{ q *question }

// Get answers from the question; what is not in it does not exist.
func (c canned) Get(url string) (map[string][]string, []byte, error) {
	for _, one := range c.q.Fetched {
		if strings.Contains(url, one.Part) {
			return map[string][]string{one.Header: {one.Chain}}, one.Body, nil
		}
	}
	return nil, nil, errors.New("nothing at " + url)
}

func tdx(q *question) error {
	roots := x509.NewCertPool()
	root, err := certificate(q.Blob["root"])
	if err != nil {
		return err
	}
	roots.AddCert(root)
	at := time.Unix(q.At, 0)
	options := &tdxverify.Options{
		CheckRevocations: len(q.Fetched) > 0,
		GetCollateral:    len(q.Fetched) > 0,
		Getter:           canned{q},
		Now:              &tdxverify.TimeSet{PckCertChain: at, TcbInfo: at, QeIdentity: at, PckCrl: at, RootCaCrl: at},
		TrustedRoots:     roots,
	}
	return tdxverify.RawTdxQuote(q.Blob["quote"], options)
}

var hashes = map[string]struct {
	tpm  tpmpb.HashAlgo
	hash crypto.Hash
}{
	"sha1":   {tpmpb.HashAlgo_SHA1, crypto.SHA1},
	"sha256": {tpmpb.HashAlgo_SHA256, crypto.SHA256},
	"sha384": {tpmpb.HashAlgo_SHA384, crypto.SHA384},
}

func tpm(q *question) error {
	key, err := x509.ParsePKIXPublicKey(q.Blob["ak"])
	if err != nil {
		return err
	}
	bank, found := hashes[q.Text["bank"]]
	if !found {
		return fmt.Errorf("bank %q", q.Text["bank"])
	}
	quote := &tpmpb.Quote{
		Quote:  q.Blob["quote"],
		RawSig: q.Blob["signature"],
		Pcrs:   &tpmpb.PCRs{Hash: bank.tpm, Pcrs: q.Registers},
	}
	return tpmquote.Verify(quote, key, q.Blob["nonce"])
}

func eventlog(q *question) error {
	bank, found := hashes[q.Text["bank"]]
	if !found {
		return fmt.Errorf("bank %q", q.Text["bank"])
	}
	var registers []register.MR
	for index, value := range q.Registers {
		if q.Text["form"] == "ccel" {
			registers = append(registers, register.RTMR{Index: int(index) - 1, Digest: value})
		} else {
			registers = append(registers, register.PCR{Index: int(index), Digest: value, DigestAlg: bank.hash})
		}
	}
	_, err := tcg.ParseAndReplay(q.Blob["log"], registers, tcg.ParseOpts{AllowPadding: true})
	return err
}

func judge(q *question) (verdict answer) {
	defer func() {
		if cause := recover(); cause != nil {
			verdict = answer{Error: fmt.Sprint(cause), Panic: true}
		}
	}()
	kinds := map[string]func(*question) error{"snp": snp, "tdx": tdx, "tpm": tpm, "eventlog": eventlog}
	run, found := kinds[q.Kind]
	if !found {
		return answer{Error: "unknown kind " + q.Kind, Panic: true}
	}
	if err := run(q); err != nil {
		return answer{Error: err.Error()}
	}
	return answer{OK: true}
}

func main() {
	logger.Init("oracles", false, false, io.Discard)
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	decoder := json.NewDecoder(in)
	encoder := json.NewEncoder(out)
	for {
		var q question
		if err := decoder.Decode(&q); err != nil {
			if errors.Is(err, io.EOF) {
				return
			}
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := encoder.Encode(judge(&q)); err != nil || out.Flush() != nil {
			os.Exit(1)
		}
	}
}
