module vault-attestation-bridge/tools/oracles

go 1.26

require (
	github.com/google/go-eventlog v0.0.3-0.20261001001437-1991f15bc4b0
	github.com/google/go-sev-guest v0.15.0
	github.com/google/go-tdx-guest v0.3.2-0.20250814004405-ffb0869e6f4d
	github.com/google/go-tpm-tools v0.4.11
	github.com/google/logger v1.1.1
	google.golang.org/protobuf v1.36.12
)

require (
	github.com/google/go-tpm v0.9.8 // indirect
	github.com/google/uuid v1.6.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	golang.org/x/crypto v0.51.0 // indirect
	golang.org/x/sys v0.45.0 // indirect
)

// go-tpm-tools names a version of go-eventlog that the module proxy does not give out any more.
replace github.com/google/go-eventlog => github.com/google/go-eventlog v0.0.2
