#!/bin/bash
# At which model size does RL need no exploration reward? 0.5B, 1.5B and 7B models, each with and without, on the same
# problems. The article leaves this question open; the paper reports no accuracy without exploration.
#
#   bash recipes/ablations/model_size.sh
#
# Hardware: 1 x 40 GB. 24 GiB for 7B and 30 hours for the six runs: estimated, not measured (recipes/README.md says how).
# One override, for three seeds, because a difference from one seed means little:
#   SEEDS="0 1 2" bash recipes/ablations/model_size.sh
set -euo pipefail
RLSP=${RLSP:-rlsp}
RECIPE=recipes/qwen2.5-1.5b-math

for SEED in ${SEEDS:-0}; do
  for SIZE in 0.5B 1.5B 7B; do
    MODEL=Qwen/Qwen2.5-$SIZE-Instruct
    for EXPLORATION in none length; do
      RUN=runs/ablations/size-$SIZE-$EXPLORATION-seed$SEED
      $RLSP grpo --config $RECIPE/grpo.yaml --model_name_or_path $MODEL --output_dir $RUN/rlsp \
        --exploration $EXPLORATION --seed $SEED
      $RLSP eval --config $RECIPE/eval.yaml --model_name_or_path $RUN/rlsp --output_dir $RUN/eval --seed $SEED
    done
    $RLSP compare runs/ablations/size-$SIZE-none-seed$SEED/eval runs/ablations/size-$SIZE-length-seed$SEED/eval
  done
done
