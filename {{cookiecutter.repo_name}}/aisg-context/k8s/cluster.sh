#!/bin/sh
# make cluster: the guide's pages "Set up the cluster" and "Package the best model", on a cluster that kind makes, or with
# CONTEXT=NAME on yours. Typed again, it goes on with what is missing. make cluster-delete removes kind's.
#   cluster.sh create|delete [CONTEXT]
set -eu
cd "$(dirname "$0")/../.."
verb=$1 context=${2:-}
name={{ cookiecutter.repo_name }}
images="data-prep train s2i-builder s2i"
version=$(sed -n 's/^version = "\(.*\)".*/\1/p' pyproject.toml) # of the images
own=$PWD/build/cluster # settings of kubectl, helm and polyaxon: yours stay as they are

step() { printf '\n=== %s\n' "$1"; }
fail() { echo "make cluster: $1" >&2; exit 1; }
there() { kubectl get "$@" >/dev/null 2>&1; }
installed() { helm status "$1" --namespace="$2" >/dev/null 2>&1; }
ready() { kubectl wait --for=condition=Available --timeout=15m deployment --all --namespace="$1"; }

if [ "$verb" = delete ]; then
  [ -z "$context" ] || fail "only kind's cluster is removed. From $context: helm uninstall, release by release"
  kind delete cluster --name="$name"
  rm -rf "$own"
  exit
fi
for program in argo helm kubectl polyaxon $([ "$context" ] || echo kind docker); do
  command -v "$program" >/dev/null || fail "$program is not installed: see the guide, Set up the cluster"
done

step "The cluster"
mkdir -p "$own"
chmod 700 "$own" # the kubeconfig is a key
if [ "$context" ]; then
  kubectl config view --minify --flatten --context="$context" >"$own/new"
else
  kind get clusters 2>/dev/null | grep -qx "$name" || KUBECONFIG="$own/new" kind create cluster --name="$name"
  kind get kubeconfig --name="$name" >"$own/new"
fi
mv "$own/new" "$own/kubeconfig"
export KUBECONFIG="$own/kubeconfig" HELM_CONFIG_HOME="$own/helm" HELM_CACHE_HOME="$own/helm" HELM_DATA_HOME="$own/helm"
kubectl cluster-info

step "Namespaces, volume, secrets"
kubectl apply -f aisg-context/k8s/namespaces.yml
if ! there persistentvolumeclaim polyaxon-v1-data --namespace=polyaxon-v1; then
  [ "$(kubectl get nodes --output=name | wc -l)" -eq 1 ] || fail "this cluster has several nodes: first make the volume; see the guide, Set up the cluster"
  kubectl apply -f aisg-context/k8s/one-node-volume.yml
fi
kubectl apply -f aisg-context/k8s/volume-owner.yml
kubectl wait --for=condition=complete --timeout=10m --namespace=polyaxon-v1 job/volume-owner
there secret workspace-password --namespace=polyaxon-v1 ||
  kubectl create secret generic workspace-password --namespace=polyaxon-v1 --from-literal=password="$(openssl rand -hex 24)"
{%- if cookiecutter.gcp_credentials == 'Key file' %}
there secret gcp-imagepushsecrets --namespace=model-packaging ||
  fail "make the secrets of the guide's page Give access (export KUBECONFIG=build/cluster/kubeconfig), and type it again"
{%- endif %}

step "Polyaxon"
helm repo add polyaxon https://charts.polyaxon.com
installed polyaxon polyaxon-v1 || helm install polyaxon polyaxon/polyaxon --version=2.18.0 --namespace=polyaxon-v1 -f aisg-context/polyaxon/polyaxon-config.yml
ready polyaxon-v1

step "Argo Workflows"
helm repo add argo https://argoproj.github.io/argo-helm
installed argo-workflows argo || helm install argo-workflows argo/argo-workflows --version=1.0.14 --namespace=argo --create-namespace --set "controller.workflowNamespaces={model-packaging}" --set controller.workflowRestrictions.templateReferencing=Secure
ready argo
kubectl apply -f aisg-context/k8s/model-packager.yml -f aisg-context/argo/package-model.yml

step "Istio and Seldon"
helm repo add istio https://istio-release.storage.googleapis.com/charts
installed istio-base istio-system || helm install istio-base istio/base --version=1.30.3 --namespace=istio-system --create-namespace
installed istiod istio-system || helm install istiod istio/istiod --version=1.30.3 --namespace=istio-system --wait
installed istio-ingressgateway istio-system || helm install istio-ingressgateway istio/gateway --version=1.30.3 --namespace=istio-system --set service.type=ClusterIP
kubectl apply -f aisg-context/seldon/gateway.yml
installed seldon-core seldon-system || helm install seldon-core seldon-core-operator --repo=https://storage.googleapis.com/seldon-charts --version=1.17.1 \
  --namespace=seldon-system --create-namespace --set istio.enabled=true
ready seldon-system

step "Images"
make images IMAGES="$images"
[ -z "$context" ] || make push IMAGES="$images"
[ "$context" ] || for image in $images; do kind load docker-image --name="$name" "{{ cookiecutter.__image_prefix }}/$image:$version"; done

step "Data and a training run"
export POLYAXON_CONTEXT_ROOT="$own/polyaxon" POLYAXON_HOST=http://localhost:8117
kubectl port-forward --namespace=polyaxon-v1 service/polyaxon-polyaxon-gateway 8117:80 >"$own/port-forward.log" &
trap 'kill $! 2>/dev/null' EXIT
until grep -q Forwarding "$own/port-forward.log"; do
  kill -0 $! 2>/dev/null || fail "Polyaxon's API cannot be reached; kubectl's message is above"
  sleep 1
done
polyaxon project create --name="$name-try" || true # a second time it is there
polyaxon run -p "$name-try" -f aisg-context/polyaxon/polyaxonfiles/data-prep.yml --watch
polyaxon run -p "$name-try" -f aisg-context/polyaxon/polyaxonfiles/train.yml --watch

step "The packaging workflow"
{%- if cookiecutter.gcp_credentials == 'Workload Identity' %}
[ "$context" ] || fail "all but the last part is there: a pod of kind has no identity of Google's to push the model with. For the last part:
make upgrade ANSWERS=\"gcp_credentials='Key file'\", and the secrets of the guide's page Give access"
{%- endif %}
argo submit aisg-context/argo/model-pkg.yml -p project="$name-try" --watch

step "Where it is"
cat <<TEXT
export KUBECONFIG=$KUBECONFIG
kubectl port-forward --namespace=polyaxon-v1 service/polyaxon-polyaxon-gateway 8117:80      http://localhost:8117
kubectl port-forward --namespace=argo service/argo-workflows-server 2746:2746               http://localhost:2746
kubectl port-forward --namespace=istio-system service/istio-ingressgateway 8003:80          then:
make predict URL=http://localhost:8003/seldon/seldon/{{ cookiecutter.__deployment_name }}/api/v1.0/predictions
TEXT
