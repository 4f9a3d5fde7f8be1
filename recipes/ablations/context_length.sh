#!/bin/bash
# How much context length matters: the same RL with at most 1k, 4k and 16k tokens, all evaluated with at most 16k.
# The article leaves this question open; the paper reports one length.
#
#   bash recipes/ablations/context_length.sh
#
# Hardware: 8 x 80 GB for training. At 16k 40 GiB a GPU with the share of vLLM, and 20 hours for the three: estimated,
# not measured (recipes/README.md says how). One override, to print the commands without running them:
#   RLSP="echo rlsp" LAUNCH="echo rlsp" bash recipes/ablations/context_length.sh
set -euo pipefail
RLSP=${RLSP:-rlsp}
LAUNCH=${LAUNCH:-accelerate launch --config_file recipes/accelerate/ddp.yaml -m trl_rlsp}
RECIPE=recipes/qwen2.5-7b-math

for TOKENS in 1024 4096 16384; do
  RUN=runs/ablations/context-$TOKENS
  $LAUNCH grpo --config $RECIPE/grpo.yaml --output_dir $RUN/rlsp --max_completion_length $TOKENS \
    --vllm_max_model_length $((TOKENS + 2048)) \
    --per_device_train_batch_size 1 --gradient_accumulation_steps 16 --steps_per_generation 64
  $RLSP eval --config $RECIPE/eval.yaml --model_name_or_path $RUN/rlsp --output_dir $RUN/eval --max_new_tokens 16384
done
$RLSP compare runs/ablations/context-1024/eval runs/ablations/context-4096/eval
$RLSP compare runs/ablations/context-4096/eval runs/ablations/context-16384/eval
