# certificate: a request approved, another denied.
ask() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj "/CN=$1" -out csr.pem 2>/dev/null
    run k create -f - <<<'{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":"'"$NS-$1"'"},"spec":{"signerName":"example.com/none","usages":["client auth"],"request":"'"$(base64 -w0 csr.pem)"'"}}'
}
ask good
expect 'Pending' k get csr "$NS-good"
expect "certificatesigningrequest.certificates.k8s.io/$NS-good approved" k certificate approve "$NS-good"
same Approved k get csr "$NS-good" -o 'jsonpath={.status.conditions[0].type}'
expect 'Approved' k get csr "$NS-good"
ask bad
expect "$NS-bad denied" k certificate deny "$NS-bad"
same Denied k get csr "$NS-bad" -o 'jsonpath={.status.conditions[0].type}'
expect 'Requesting User:' k describe csr "$NS-good"
refuse 'not found' k certificate approve "$NS-none"
run k delete csr "$NS-good" "$NS-bad"
