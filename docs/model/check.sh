#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks the handover model with spin: every property in every setting below, that no run is endless, that every mutant dies of the
# property that it breaks, and that the runs which must be possible are. Exits non-zero when anything is not as expected.
#   ./check.sh         2 minutes on 2 idle cores, under 3 GiB
#   ./check.sh deep    adds larger settings: half an hour, under 10 GiB
#   JOBS=1 ./check.sh  runs so many at once (default: one a core, 4 at most)
set -u
model=$(cd "$(dirname "$0")" && pwd)/handover.pml

# kind   expected   settings (what is not named is 0; see the head of handover.pml)
table() { cat <<'TABLE'
holds -  N=3 KILLS=1 STOPS=1 BREAKS=1 HASTY=1 ASKS=1 FRAMES=1
holds -  N=3 KILLS=2 STOPS=1 HASTY=1 ASKS=1 FRAMES=1
holds -  N=2 KILLS=1 STOPS=1 BREAKS=1 HASTY=1 FAULTS=1 RESTARTS=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1 CLOSES=1 COLDS=1
holds -  N=3 KILLS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=3 KILLS=1 STOPS=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=2 KILLS=2 STOPS=1 BREAKS=1 HASTY=2 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=2 KILLS=2 STOPS=1 OFFERS=2 PREPS=1 ASKS=2 FRAMES=2
holds -  N=2 AUTOFENCE=1 KILLS=1 STOPS=1 BREAKS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=3 KILLS=2 BREAKS=1 ASKS=1 FRAMES=1 COLDS=1
holds -  N=3 KILLS=1 HASTY=1 OFFERS=2 PREPS=1 COLDS=1
holds -  N=3 KILLS=2 ASKS=2 FRAMES=1
holds -  N=3 AUTOFENCE=1 KILLS=1 STOPS=1 ASKS=1 FRAMES=1
ends  -  N=2 KILLS=1 STOPS=1 BREAKS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
ends  -  N=3 KILLS=1 STOPS=1 HASTY=1 FAULTS=1 ASKS=1
dies  7  MUTANT=FENCE_WITHOUT_WORD HASTY=1
dies  2  MUTANT=EQUAL_SEQ KILLS=1 ASKS=1
dies  2  MUTANT=SEQ_BEFORE_CHANGE KILLS=1 ASKS=1
dies  6  MUTANT=SEQ_WITHOUT_EPOCH N=3 KILLS=2 ASKS=1
dies  6  MUTANT=AHEAD_KEEPS_NUMBER N=3 KILLS=3 RESTARTS=1 OFFERS=0 PREPS=1 ASKS=1
dies  5  MUTANT=CLOSE_BEFORE_WORD KILLS=1
dies  6  MUTANT=OFFER_WITHOUT_EPOCH OFFERS=2 ASKS=1
dies  2  MUTANT=OFFER_BY_MESSAGE STOPS=1
dies  2  MUTANT=OFFER_FOR_PEER_ONLY N=3 KILLS=1 STOPS=1
dies  2  MUTANT=LOST_CLOSES KILLS=1
dies  2  MUTANT=UNFIT_CLOSES N=3 KILLS=1 BREAKS=1 ASKS=1
dies  2  MUTANT=EOF_CLOSES KILLS=1
dies  2  MUTANT=DROPS_ON_EOF KILLS=1
dies  2  MUTANT=ONLY_SOURCE_FENCES N=3 KILLS=1 STOPS=1
dies  4  MUTANT=DROP_ONLY_ON_RUNNING
dies  3  MUTANT=SHUTDOWN_WITHOUT_WORD
dies  1  MUTANT=COLD_WITHOUT_WORD N=3 KILLS=1 COLDS=1
dies  1  MUTANT=COLD_BESIDE_FENCED N=3 KILLS=1 HASTY=1 OFFERS=2 PREPS=1 COLDS=1
dies  2  MUTANT=SLOT_REUSED KILLS=1 RESTARTS=1
dies  1  MUTANT=NO_EPOLL_DEL
dies  1  MUTANT=REGISTERS_EARLY
dies  1  MUTANT=RESUME_WITHOUT_WORD
dies  1  MUTANT=VMM_READ_WHILE_OFFERED
dies  8  MUTANT=OWN_RECORD KILLS=1 FRAMES=2
dies  1  MUTANT=TAKE_ON_EOF BREAKS=1
dies  1  MUTANT=FEEDER_FOR_HOLDER N=3 KILLS=1
dies  6  MUTANT=EPOCH_WRAPS OFFERS=2 ASKS=1
dies  6  MUTANT=NO_SEQ_CHECK ASKS=1
dies  2  MUTANT=NO_FENCE STOPS=1
dies  1  MUTANT=FENCE_DOES_NOT_WAIT HASTY=1
dies  1  MUTANT=FENCED_TAKEN_AT_ONCE N=3 KILLS=1 HASTY=1
dies  7  MUTANT=FENCER_SUPERSEDED HASTY=2
dies  1  MUTANT=GIVES_BACK_READING HASTY=1
dies  1  MUTANT=LOST_KEEPS_READING HASTY=1
dies  4  MUTANT=NEVER_CLOSES
dies  4  MUTANT=KEEPS_QUEUE BREAKS=1 ASKS=1
dies  3  MUTANT=IDLE_BEFORE_CONSUME KILLS=1 ASKS=1
dies  3  MUTANT=REPLYING_REDONE KILLS=1 ASKS=1
dies  3  MUTANT=CONSUME_BEFORE_HANDLING KILLS=1 ASKS=1
seen  9  MUTANT=SEE_HANDOVER
seen  9  MUTANT=SEE_SECOND_TRY OFFERS=2
seen  9  MUTANT=SEE_DROP
seen  9  MUTANT=SEE_FENCE STOPS=1
seen  9  MUTANT=SEE_GIVEN_BACK HASTY=1
seen  9  MUTANT=SEE_STANDBY N=3 KILLS=2
seen  9  MUTANT=SEE_REDONE KILLS=1 ASKS=1
seen  9  MUTANT=SEE_REPLYING KILLS=1 ASKS=1
seen  9  MUTANT=SEE_COLD KILLS=1 COLDS=1
seen  9  MUTANT=SEE_TAKEN_BACK KILLS=1
TABLE
}
deep() { cat <<'TABLE'
holds -  N=2 KILLS=1 WAKES=2 BREAKS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=3 KILLS=2 STOPS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=3 KILLS=1 STOPS=1 BREAKS=1 HASTY=1 OFFERS=2 PREPS=1 ASKS=1 FRAMES=1
holds -  N=2 KILLS=2 STOPS=1 BREAKS=1 HASTY=2 OFFERS=3 PREPS=2 ASKS=2 FRAMES=2
holds -  N=3 AUTOFENCE=1 KILLS=1 STOPS=1 HASTY=1 ASKS=1 FRAMES=1
TABLE
}

one() {     # kind expected settings...: prints one line, returns 0 if it is as expected
  local kind=$1 want=$2 flags=() dir gccflags="-DSAFETY" panflags="-w24" out states got t0=$SECONDS
  shift 2
  for s in "$@"; do flags+=("-D$s"); done
  dir=$(mktemp -d "$TMP/XXXXXX"); cd "$dir" || return 1
  case $kind in
    holds) gccflags="-O1 -DSAFETY" ;;     # -O2 takes longer to compile than it saves
    ends) gccflags="-O1 -DNP -DNOFAIR" panflags="-w24 -l" ;;     # without a progress label, every cycle is a non-progress cycle
    *) gccflags="-O0 -DSAFETY" panflags="-w20" ;;     # ends early, and a large table would have to be cleared
  esac
  cp "$model" m.pml
  if ! spin "${flags[@]}" -a m.pml >spin.out 2>&1 || ! gcc $gccflags -DNOREDUCE $COLLAPSE -DMEMLIM="$MEM" -w -o pan pan.c 2>gcc.out; then
    echo "FAIL  $kind $*: does not compile"; cat spin.out gcc.out 2>/dev/null | head -5; return 1
  fi
  ./pan $panflags -m20000 -E -n >pan.out 2>&1
  states=$(awk '/states, stored/ {print $1; exit}' pan.out)
  if grep -q 'non-progress cycle (at' pan.out; then got=cycle
  elif grep -qE 'Search not completed|depth too small' pan.out && ! grep -q 'failed!=' pan.out; then got=incomplete
  else got=$(sed -n 's/.*assertion violated (failed!=\([0-9]\)).*/\1/p' pan.out | head -1); fi
  grep -q 'errors: ' pan.out || got=broken
  [ -z "$got" ] && got=-
  cd / && rm -rf "$dir"
  if [ "$got" = "$want" ]; then
    case $kind in
      holds) echo "ok    P1-P8 hold        $*: $states states, $((SECONDS - t0)) s" ;;
      ends) echo "ok    no endless run    $*: $states states, $((SECONDS - t0)) s" ;;
      dies) echo "ok    dies of P$want        ${*#MUTANT=}" ;;
      seen) echo "ok    happens           ${*#MUTANT=}" ;;
    esac
  else
    case $got in -) got="no error found" ;; [1-8]) got="P$got broken" ;; esac
    echo "FAIL  $kind ${want/-/} $*: $got"; return 1
  fi
}

if [ "${1:-}" = --one ]; then shift; one "$@"; exit; fi
for tool in spin gcc; do command -v $tool >/dev/null || { echo "check.sh: $tool is missing (Debian: apt-get install spin gcc)"; exit 2; }; done
TMP=$(mktemp -d); trap 'rm -rf "$TMP"' EXIT
# states as they are: twice the memory and two thirds of the time of -DCOLLAPSE, which the large settings need
export TMP MEM=1700 COLLAPSE=
if [ "${1:-}" = deep ]; then export MEM=9500 COLLAPSE=-DCOLLAPSE; list() { deep; table; }; else list() { table; }; fi
cores=$(nproc)
list | xargs -P "${JOBS:-$((cores < 4 ? cores : 4))}" -L 1 "$0" --one | tee "$TMP/out"
bad=$(grep -c -v '^ok' "$TMP/out"); good=$(grep -c '^ok' "$TMP/out")
echo "$good as expected, $bad not, of $(list | wc -l), in $SECONDS s"
[ "$good" -eq "$(list | wc -l)" ]
