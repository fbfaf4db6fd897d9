// Times go-tdx-guest's verification of a TDX quote (version 4) the way its own command does by default: quote, PCK chain to the root that
// is given, no collateral, nothing fetched.
//
// Prints the median nanoseconds of a verification. Ours, only calling the module's public functions.
package main

import (
	"crypto/x509"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/google/go-tdx-guest/verify"
)

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	count := flag.Int("n", 300, "verifications")
	at := flag.Int64("at", 0, "time of verification, Unix seconds")
	quoteFile := flag.String("quote", "", "the quote")
	rootFile := flag.String("root", "", "the root's certificate, DER")
	flag.Parse()
	quote, err := os.ReadFile(*quoteFile)
	fail(err)
	der, err := os.ReadFile(*rootFile)
	fail(err)
	root, err := x509.ParseCertificate(der)
	fail(err)
	roots := x509.NewCertPool()
	roots.AddCert(root)
	once := func() error {
		return verify.RawTdxQuote(quote, &verify.Options{Now: time.Unix(*at, 0), TrustedRoots: roots})
	}
	fail(once())
	calls := make([]int64, *count)
	for i := range calls {
		start := time.Now()
		fail(once())
		calls[i] = time.Since(start).Nanoseconds()
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i] < calls[j] })
	fmt.Println(calls[len(calls)/2])
}
