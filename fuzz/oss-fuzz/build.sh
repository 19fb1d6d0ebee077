#!/bin/bash -eu
# Builds one executable for each target, and the corpus that it begins with.  Runs in the image of the Dockerfile beside it.

cd "$SRC/netstructer"
python3 -m pip install '.[pair]'

# One small program for each target: `fuzz_NAME.py`, and NAME.zip with its inputs.
export PYTHONPATH=$SRC/netstructer
python3 fuzz/oss-fuzz/entries.py "$SRC/entries" "$OUT"

# What is imported late is named here, since the packer follows only what stands at the head of a module.
for fuzzer in "$SRC"/entries/fuzz_*.py; do
    compile_python_fuzzer "$fuzzer" --paths "$SRC/netstructer" \
        --collect-submodules netstructer --collect-submodules fuzz --collect-submodules spake2
done
