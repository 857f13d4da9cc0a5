#!/bin/sh
# Makes an authority and certificates of a small cluster with OpenSSL, for trying TLS out:
#   certificates.sh FOLDER [HOST-OR-ADDRESS...]
# ca.pem is the authority; cluster, router, node and admin (.pem and .key) are members, valid for a
# year, by the names and addresses that are given. Cluster is router and node at once.
set -eu
folder=$1
shift
mkdir -p "$folder"
names=
for name in "$@"; do
  case $name in
    *[!0-9.]*) names="$names,DNS:$name" ;;
    *) names="$names,IP:$name" ;;
  esac
done

key() {
  (umask 077 && openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$folder/$1.key")
}

if [ ! -f "$folder/ca.pem" ]; then
  key ca
  openssl req -x509 -new -key "$folder/ca.key" -subj "/CN=Epidote cluster" -days 3650 -out "$folder/ca.pem"
fi

member() {
  file=$1
  shift
  san=$names
  for role in "$@"; do
    san="$san,URI:spiffe://cluster.local/epidote/$role"
  done
  key "$file"
  printf 'subjectAltName=%s\nkeyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n' "${san#,}" > "$folder/$file.ext"
  openssl req -new -key "$folder/$file.key" -subj "/CN=$file" |
    openssl x509 -req -CA "$folder/ca.pem" -CAkey "$folder/ca.key" -CAcreateserial -days 365 -extfile "$folder/$file.ext" -out "$folder/$file.pem" 2>/dev/null
  rm "$folder/$file.ext"
}

member cluster router node
member router router
member node node
member admin admin
