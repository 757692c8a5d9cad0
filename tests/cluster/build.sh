#!/usr/bin/env bash
# Build or fetch what `make test-api` starts, into the folder given; a second call finds it there and does nothing.
# kube-apiserver, kubectl and Argo's workflow-controller come from their Go modules, the CRDs from the same module and
# from Seldon's chart, etcd from PATH or Debian's package. Needs Go, openssl and a cache of 6 GB, which goes at the end.
set -euo pipefail
cache=$1
kubernetes=v1.34.4 argo=v4.0.5 seldon=v1.17.1
seldon_crd=https://raw.githubusercontent.com/SeldonIO/seldon-core/$seldon/helm-charts/seldon-core-operator/templates/customresourcedefinition_v1_seldondeployments.machinelearning.seldon.io.yaml
seldon_sum=396540e45597a45b2e6b7bb11bfaf0c012137bfe69ba774a4c7fb8bf98dd3343

if [ "$(cat "$cache/built" 2>/dev/null)" = "$kubernetes $argo $seldon" ]; then exit; fi
for program in go openssl; do
  command -v $program >/dev/null || { echo "test-api: $program is not installed; or give a cluster: KUBECONFIG_FOR_TESTS=FILE" >&2; exit 1; }
done
mkdir -p "$cache/bin" "$cache/crds"
cd "$cache"
cache=$PWD
export GOPATH=$PWD/go GOCACHE=$PWD/go/build GOBIN=$PWD/bin GOWORK=off CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false -trimpath"

# The chart's lines in braces are its conditions and its labels
summed() { echo "$seldon_sum  seldon-crd.yaml" | sha256sum --check --status 2>/dev/null; }
if ! summed; then curl --fail --silent --show-error --location --max-time 120 --output seldon-crd.yaml "$seldon_crd"; fi ||
  { echo "test-api: Seldon's CRD is not to be had; put $seldon_crd at $cache/seldon-crd.yaml" >&2; exit 1; }
summed || { echo "test-api: $cache/seldon-crd.yaml is not the file with the checksum $seldon_sum" >&2; exit 1; }
sed '/{{/d' seldon-crd.yaml >crds/seldondeployments.yaml

echo "test-api: building for $cache, once: a quarter of an hour on two idle cores" >&2
if ! command -v etcd >/dev/null && [ ! -x bin/etcd ]; then # from the package, without installing it
  (cd "$(mktemp -d)" && apt-get download etcd-server && dpkg-deb --extract etcd-server_*.deb . && cp usr/bin/etcd "$GOBIN")
fi

# The module's own go.mod looks for Kubernetes' libraries in folders that are not in it: here they are modules of that version.
go mod download "k8s.io/kubernetes@$kubernetes"
source=$PWD/go/pkg/mod/k8s.io/kubernetes@$kubernetes
sed -E "s#=> ./staging/src/(k8s.io/.*)#=> \1 v0.${kubernetes#v1.}#" "$source/go.mod" >kubernetes.mod
cat "$source/go.sum" >kubernetes.sum
version=component-base/version # what `kubectl version` says
flags="-s -w -X k8s.io/$version.gitVersion=$kubernetes -X k8s.io/$version.gitMajor=1 -X k8s.io/$version.gitMinor=34"
for program in kube-apiserver kubectl; do
  (cd "$source" && go build -modfile="$cache/kubernetes.mod" -ldflags "$flags" -o "$GOBIN/$program" ./cmd/$program)
done
go install -ldflags "-s -w" "github.com/argoproj/argo-workflows/v4/cmd/workflow-controller@$argo"
cp "go/pkg/mod/github.com/argoproj/argo-workflows/v4@$argo"/manifests/base/crds/full/argoproj.io_*.yaml crds/

chmod -R u+w go && rm -rf go # the modules are read-only
echo "$kubernetes $argo $seldon" >built
