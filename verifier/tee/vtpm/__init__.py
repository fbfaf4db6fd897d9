"""What composites with a virtual TPM share: the quote part, the AK's certificate, checks and rules.

A vTPM is known by what vouches for its attestation key (a CPU report, a cloud's certificate), never by enrolment. Check and
rule ids carry the composite's own name.
"""
