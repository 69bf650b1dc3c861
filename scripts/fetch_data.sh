#!/usr/bin/env bash
# usage: fetch_data.sh cifar10|cifar100|fashion-mnist|mnist...
# Fetches data sets from where they are published into $SPARSE_DATA_DIR (./data), checked against the sums
# that their authors publish, in the folders where the program looks. What is there already stays.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${SPARSE_DATA_DIR:-data}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch() { # ADDRESS MD5 FILE: nothing is left of a file that is not what was published
    echo "fetching $1"
    curl -fL --connect-timeout 20 --retry 3 --progress-bar -o "$work/part" "$1" || {
        echo "$1 cannot be fetched: is there a network? Put the file's content under $data by hand," \
            "or train with --dataset shapes, which needs none." >&2
        return 1
    }
    echo "$2  $work/part" | md5sum --check --quiet - || {
        echo "$1 is not the file that was published (MD5 $2)" >&2
        return 1
    }
    mv "$work/part" "$3"
}

cifar() { # ARCHIVE MD5 FOLDER FILE...
    local archive=$1 md5=$2 folder=$3
    shift 3
    if [ -e "$data/$folder/$1" ]; then
        echo "$data/$folder is there"
        return 0
    fi
    fetch "https://www.cs.toronto.edu/~kriz/$archive" "$md5" "$work/$archive"
    tar -xzf "$work/$archive" -C "$work" "${@/#/$folder/}"
    mkdir -p "$data"
    rm -rf "${data:?}/$folder"
    mv "$work/$folder" "$data/"
}

idx() { # FOLDER ADDRESS MD5 of train images, train labels, test images, test labels
    local folder=$data/$1 address=$2 file
    shift 2
    mkdir -p "$folder"
    for file in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
        [ -e "$folder/$file-ubyte.gz" ] ||
            fetch "$address/$file-ubyte.gz" "$1" "$folder/$file-ubyte.gz"
        shift
    done
    echo "$folder is there"
}

[ $# -gt 0 ] || { sed -n '2s/^# //p' "$0" >&2 && exit 2; }
command -v curl >/dev/null || { echo "curl is wanted, and not installed" >&2 && exit 1; }
for name in "$@"; do
    case "$name" in
    cifar10)
        cifar cifar-10-binary.tar.gz c32a1d4ab5d03f1284b67883e8d87530 cifar-10-batches-bin \
            data_batch_1.bin data_batch_2.bin data_batch_3.bin data_batch_4.bin data_batch_5.bin \
            test_batch.bin
        ;;
    cifar100)
        cifar cifar-100-binary.tar.gz 03b5dce01913d631647c71ecec9e9cb8 cifar-100-binary train.bin test.bin
        ;;
    fashion-mnist)
        idx fashion-mnist http://fashion-mnist.s3-website.eu-central-1.amazonaws.com \
            8d4fb7e6c68d591d4c3dfef9ec88bf0d 25c81989df183df01b3e8a0aad5dffbe \
            bef4ecab320f06d8554ea6380940ec79 bb300cfdad3c16e7a12a480ee83cd310
        ;;
    mnist)
        idx mnist https://ossci-datasets.s3.amazonaws.com/mnist \
            f68b3c2dcbeaaa9fbdd348bbdeb94873 d53e105ee54ea40749a09fcbcd1e9432 \
            9fb629c4189551a2d022fa330f9573f3 ec29112dd5afa0611ce80d1b7f02629c
        ;;
    *) sed -n '2s/^# //p' "$0" >&2 && exit 2 ;;
    esac
done
