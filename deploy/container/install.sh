#!/bin/sh
# install.sh cpu|cuda PREFIX: the program and its bill of materials (CycloneDX) into a virtual environment. Run from a
# folder with the sources; the image is built by it, and so can any Debian 12 be. TORCH_INDEX: where pip finds torch.
set -eu
torch=$1 prefix=$2

case $torch in
# The index of torch's CPU builds, or a mirror of it: its 2.x.y+cpu goes before PyPI's build, which brings CUDA.
cpu) index=${TORCH_INDEX:-https://download.pytorch.org/whl/cpu} ;;
cuda) index=${TORCH_INDEX:-} ;;
*)
    echo "install.sh: expected cpu or cuda, got $torch" >&2
    exit 2
    ;;
esac

python3 -m venv "$prefix"
"$prefix/bin/pip" install --no-cache-dir --constraint constraints.txt ${index:+--extra-index-url "$index"} \
    '.[distributed]'

tools=$(mktemp -d)
python3 -m venv "$tools"
"$tools/bin/pip" install --no-cache-dir --constraint constraints.txt cyclonedx-bom
"$tools/bin/cyclonedx-py" environment --output-reproducible --output-format JSON \
    --output-file "$prefix/sbom.cdx.json" "$prefix/bin/python"
rm -rf "$tools"
# What only those need who build or test libraries: a quarter of a gigabyte.
for packages in "$prefix"/lib/python3*/site-packages; do
    rm -rf "$packages"/torch/test "$packages"/torch/include "$packages"/pandas/tests
    find "$packages"/torch/bin -type f ! -name torch_shm_manager -delete
    find "$packages"/sympy "$packages"/dask "$packages"/distributed "$packages"/networkx -depth -type d -name tests \
        -exec rm -rf {} +
done
"$prefix/bin/pip" uninstall --yes --quiet setuptools pip
