#!/bin/sh
# Takes out of a virtual environment what the product never reads, then compiles the rest. Usage: slim.sh ENVIRONMENT
set -eu

environment=$1
packages=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
cd "$packages"

# What type checkers, compilers and the packages' own tests read.
find . -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} +
find . -type f \( -name '*.pyi' -o -name '*.pxd' -o -name '*.pyx' -o -name '*.c' -o -name '*.h' -o -name '*.hpp' -o -name '*.cpp' -o -name '*.a' \) -delete
rm -rf boto3/examples numpy/_core/include numpy/f2py

# The descriptions of some 400 services. Kept: what the adapters call, and what credentials are fetched with.
find botocore/data -mindepth 1 -maxdepth 1 -type d \
  ! -name s3 ! -name sqs ! -name sts ! -name sso ! -name sso-oidc ! -name signin -exec rm -rf {} +

# Where a number is and whose it was: phonenumbers is asked only whether it is one, and to write it.
rm -rf phonenumbers/geodata phonenumbers/carrierdata phonenumbers/tzdata

# Debugging symbols. Not numpy's own copies of shared libraries: auditwheel has moved their sections, strip would break them.
find . -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} +

# The packages' own commands, and what activates an environment in a shell.
find "$environment/bin" -type f ! -name 'python*' -delete
rm -rf "$environment/include" "$environment/.gitignore"

"$environment/bin/python" -m compileall -q -f --invalidation-mode unchecked-hash "$packages"
