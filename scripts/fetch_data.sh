#!/usr/bin/env bash
# usage: fetch_data.sh [--quiet] [cifar10|cifar100|mnist|fashion-mnist|all|yolov3|yolov3-tiny|samples]... [DATA_DIR]
#
# Fetches the published data sets into DATA_DIR (default: $SPARSE_DATA_DIR, else ./data), where the
# program looks for them: cifar10 unless others are named; all: the four data sets. yolov3 (248 MB) and
# yolov3-tiny (35 MB): darknet's weights, into DATA_DIR/weights; samples: darknet's seven pictures.
# What is there already is left alone; a broken download goes on where it stopped; a file takes its
# place only when its MD5 is right. Without a network it says so (not with --quiet, which tries once) and
# ends with 0: the program has a data set of its own (--dataset shapes), and measures detectors with
# fresh weights.
set -euo pipefail

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0"
}

wanted=()
quiet=
data_dir=${SPARSE_DATA_DIR:-./data}
for word in "$@"; do
    case $word in
        cifar10 | cifar100 | mnist | fashion-mnist | yolov3 | yolov3-tiny | samples) wanted+=("$word") ;;
        all) wanted+=(cifar10 cifar100 mnist fashion-mnist) ;;
        --quiet) quiet=yes ;;
        -h | --help) usage && exit 0 ;;
        -*) echo "there is no option $word" >&2 && usage >&2 && exit 2 ;;
        *) data_dir=$word ;;
    esac
done
[ ${#wanted[@]} -gt 0 ] || wanted=(cifar10)

complain() {
    echo "fetch_data.sh: $*" >&2
}

for tool in curl md5sum tar; do
    command -v "$tool" >/dev/null || { complain "$tool is needed: install it" && exit 1; }
done

failed=0
offline=0
retries=3
[ -z "$quiet" ] || retries=0
show=(--silent)
[ -n "$quiet" ] || show+=(--show-error)
[ ! -t 2 ] || show=(--progress-bar)

md5_of() {
    md5sum "$1" | cut -d ' ' -f 1
}

# download URL FILE MD5: FILE is whole and right, or not there at all and 1 is returned. What came
# so far lies in FILE.part.
download() {
    local url=$1 file=$2 md5=$3 status=0 answer=
    if [ -f "$file" ] && [ "$(md5_of "$file")" = "$md5" ]; then
        return 0
    fi
    mkdir -p "$(dirname "$file")"
    # The server would refuse to go on with a part that is whole.
    if ! [ -f "$file.part" ] || [ "$(md5_of "$file.part")" != "$md5" ]; then
        echo "fetching $url"
        answer=$(curl --fail --location "${show[@]}" --connect-timeout 15 --retry "$retries" \
            --speed-limit 1024 --speed-time 60 --continue-at - --output "$file.part" \
            --write-out '%{http_code}' "$url") || status=$?
    fi
    case $status in
        0) ;;
        # No name, no connection, no answer in time, a proxy that refuses: there is no network.
        5 | 6 | 7 | 28 | 35 | 56)
            offline=1
            [ -n "$quiet" ] || echo "no network: $url cannot be reached (curl says $status)" >&2
            return 1
            ;;
        *)
            # The server cannot go on with this part: the next run begins anew.
            if [ "$status" = 33 ] || [ "$answer" = 416 ]; then
                rm -f "$file.part"
            fi
            complain "$url: curl ended with $status: run me again"
            failed=1
            return 1
            ;;
    esac
    if [ "$(md5_of "$file.part")" != "$md5" ]; then
        complain "$url: its MD5 is $(md5_of "$file.part"), $md5 was wanted: removed, run me again"
        rm -f "$file.part"
        failed=1
        return 1
    fi
    mv "$file.part" "$file"
}

# archive URL MD5 FOLDER FILE...: the archive holds FOLDER with those files; it appears in the data
# folder when whole.
archive() {
    local url=$1 md5=$2 folder=$3 file unpacked
    shift 3
    if [ -d "$data_dir/$folder" ]; then
        for file in "$@"; do
            if ! [ -f "$data_dir/$folder/$file" ]; then
                complain "$data_dir/$folder is there, but not its $file: move it away, run me again"
                failed=1
                return 0
            fi
        done
        echo "$data_dir/$folder is there"
        return 0
    fi
    file=$data_dir/$(basename "$url")
    download "$url" "$file" "$md5" || return 0
    unpacked=$(mktemp -d "$data_dir/.unpack-XXXXXX")
    if tar -xzf "$file" -C "$unpacked" && mv "$unpacked/$folder" "$data_dir/$folder"; then
        rm -f "$file"
        echo "$data_dir/$folder is there"
    else
        failed=1
        complain "$file could not be unpacked into $data_dir"
    fi
    rm -rf "$unpacked"
}

# files FOLDER BASE (NAME MD5)...: files that are read as they are.
files() {
    local folder=$data_dir/$1 base=$2
    shift 2
    while [ $# -gt 0 ]; do
        if ! download "$base/$1" "$folder/$1" "$2"; then
            rmdir "$folder" 2>/dev/null || true # unless something came
            return 0
        fi
        shift 2
    done
    echo "$folder is there"
}

for set in "${wanted[@]}"; do
    [ "$offline" = 0 ] || break
    case $set in
        cifar10)
            archive https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz \
                c32a1d4ab5d03f1284b67883e8d87530 cifar-10-batches-bin \
                data_batch_{1,2,3,4,5}.bin test_batch.bin
            ;;
        cifar100)
            archive https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz \
                03b5dce01913d631647c71ecec9e9cb8 cifar-100-binary train.bin test.bin
            ;;
        fashion-mnist)
            files fashion-mnist http://fashion-mnist.s3-website.eu-central-1.amazonaws.com \
                train-images-idx3-ubyte.gz 8d4fb7e6c68d591d4c3dfef9ec88bf0d \
                train-labels-idx1-ubyte.gz 25c81989df183df01b3e8a0aad5dffbe \
                t10k-images-idx3-ubyte.gz bef4ecab320f06d8554ea6380940ec79 \
                t10k-labels-idx1-ubyte.gz bb300cfdad3c16e7a12a480ee83cd310
            ;;
        mnist)
            # The mirror that torchvision uses: yann.lecun.com itself asks for a password.
            files mnist https://ossci-datasets.s3.amazonaws.com/mnist \
                train-images-idx3-ubyte.gz f68b3c2dcbeaaa9fbdd348bbdeb94873 \
                train-labels-idx1-ubyte.gz d53e105ee54ea40749a09fcbcd1e9432 \
                t10k-images-idx3-ubyte.gz 9fb629c4189551a2d022fa330f9573f3 \
                t10k-labels-idx1-ubyte.gz ec29112dd5afa0611ce80d1b7f02629c
            ;;
        yolov3)
            files weights https://pjreddie.com/media/files yolov3.weights c84e5b99d0e52cd466ae710cadf6d84c
            ;;
        yolov3-tiny)
            files weights https://pjreddie.com/media/files \
                yolov3-tiny.weights 3bcd6b390912c18924b46b26a9e7ff53
            ;;
        samples)
            files samples https://raw.githubusercontent.com/pjreddie/darknet/master/data \
                dog.jpg 0efe2b8fa0609cf67d33ad9ed8112e66 \
                eagle.jpg 1915b52cadf9a8fdba8ec5535c42c0a2 \
                giraffe.jpg ebc4ffadb173aa8c539e1566d50c6ef4 \
                horses.jpg 5aed3c9bd2754c34d870ba0fe5d924b2 \
                kite.jpg 50281d88bd2686c32ef0f4c106ab4ab6 \
                person.jpg 9cd71ee8cd7788f143ec28a184bd4794 \
                scream.jpg fb9ac31c5fdac6d77d021d6b3aad4105
            ;;
    esac
done

if [ "$offline" = 1 ] && [ -z "$quiet" ]; then
    echo "run me again with a network; what needs no files: train --dataset shapes, infer with fresh weights" >&2
fi
exit "$failed"
