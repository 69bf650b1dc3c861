#!/usr/bin/env bash
# usage: detector_files.sh weights|samples|both [WORD...]
#
# What a run of `infer` with these words lacks, for the run targets of make: the weights that darknet's
# authors published for its model (yolov3 unless --model says another), fetched into DATA_DIR/weights, and
# printed as further words, "--weights FILE"; and pictures, fetched into DATA_DIR/samples where neither
# that folder nor Debian's package darknet has any. Words that name weights or pictures are left alone, and
# so are other models. Without a network it says so in one line; the run is then a benchmark, with fresh
# weights and drawn pictures. FETCH=0 asks for no download. Always ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${SPARSE_DATA_DIR:-./data}
what=$1
shift

model=yolov3 weights='' pictures=''
take=
for word in "$@"; do
    [ "$take" != model ] || model=$word
    [ "$take" != data ] || data=$word
    take=
    case $word in
        --mod*=*) model=${word#*=} ;;
        --mod*) take=model ;;
        --data-d*=*) data=${word#*=} ;;
        --data-d*) take=data ;;
        --we*) weights=given ;;
        --im*) pictures=given ;;
    esac
done
case $model in
    yolov3 | YOLOv3 | YOLOv3_local | YOLOv3_server) published=yolov3 ;;
    yolov3-tiny) published=yolov3-tiny ;;
    *) published='' ;;
esac

fetch() { # SET: false where it is not there afterwards for want of a network, or otherwise
    [ "${FETCH:-1}" != 0 ] && scripts/fetch_data.sh --quiet "$1" "$data" >&2
}

has_pictures() { # FOLDER
    find "$1" -maxdepth 1 2>/dev/null | grep -qiE '\.(jpe?g|png)$'
}

if [ "$what" != samples ] && [ -n "$published" ] && [ -z "$weights" ]; then
    file=$data/weights/$published.weights
    [ -f "$file" ] || fetch "$published" || true
    if [ -f "$file" ]; then
        echo "--weights $file"
    else
        [ "${FETCH:-1}" = 0 ] && why="FETCH=0 asks for no download" || why="it cannot be fetched now"
        echo "There is no $file, and $why: a benchmark with fresh weights follows, and finds nothing" >&2
    fi
fi
if [ "$what" != weights ] && [ -n "$published" ] && [ -z "$pictures" ] && ! has_pictures "$data/samples" &&
    ! has_pictures /usr/share/darknet/data; then
    fetch samples || true
    has_pictures "$data/samples" || echo "There are no pictures in $data/samples: drawn ones are taken" >&2
fi
