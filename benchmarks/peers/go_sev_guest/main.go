// Times go-sev-guest's verification of its own test report, chain included, the way a service would call it:
// the raw report and the certificates at hand, nothing fetched, no CRL (the module's test data has none).
//
// Prints the median nanoseconds of a verification. Ours, only calling the module's public functions.
package main

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"time"

	"github.com/google/go-sev-guest/abi"
	spb "github.com/google/go-sev-guest/proto/sevsnp"
	"github.com/google/go-sev-guest/verify"
	"github.com/google/go-sev-guest/verify/testdata"
	"github.com/google/go-sev-guest/verify/trust"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func chain() (*spb.CertificateChain, error) {
	var certs trust.ProductCerts
	if err := certs.FromKDSCertBytes(trust.AskArkMilanVcekBytes); err != nil {
		return nil, err
	}
	return &spb.CertificateChain{VcekCert: testdata.VcekBytes, AskCert: certs.Ask.Raw, ArkCert: certs.Ark.Raw}, nil
}

func once(certificates *spb.CertificateChain, now time.Time) error {
	report, err := abi.ReportToProto(testdata.AttestationBytes)
	if err != nil {
		return err
	}
	product := &spb.SevProduct{
		Name:            spb.SevProduct_SEV_PRODUCT_MILAN,
		MachineStepping: &wrapperspb.UInt32Value{Value: 0},
	}
	attestation := &spb.Attestation{Report: report, CertificateChain: certificates, Product: product}
	options := &verify.Options{DisableCertFetching: true, Now: now, Product: product}
	return verify.SnpAttestation(attestation, options)
}

func main() {
	count := flag.Int("n", 300, "verifications")
	at := flag.Int64("at", 0, "time of verification, Unix seconds")
	flag.Parse()
	certificates, err := chain()
	if err == nil {
		err = once(certificates, time.Unix(*at, 0))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	calls := make([]int64, *count)
	for i := range calls {
		start := time.Now()
		if err := once(certificates, time.Unix(*at, 0)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		calls[i] = time.Since(start).Nanoseconds()
	}
	sort.Slice(calls, func(i, j int) bool { return calls[i] < calls[j] })
	fmt.Println(calls[len(calls)/2])
}
