#!/bin/bash
# Two nodes under SLURM; a job that is interrupted and requeued continues from its last checkpoint.
#
#   sbatch recipes/accelerate/slurm.sh grpo --config recipes/llama-3.1-8b-pure-rl/grpo.yaml --gradient_accumulation_steps 4 --steps_per_generation 16
#
# Not run on a cluster yet. If compute nodes have no network, download model and data first (hf download) and
# export HF_HUB_OFFLINE=1.
#SBATCH --job-name=rlsp
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=runs/slurm-%j.out
set -euo pipefail

export MAIN_ADDRESS=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export OMP_NUM_THREADS=1 # the verifier's workers are separate processes

# One launcher per node, each with its own rank: $SLURM_NODEID is set only inside srun. If one fails, the ranks on the
# other node are stopped too, instead of waiting for it.
srun --kill-on-bad-exit=1 bash -c 'accelerate launch --config_file recipes/accelerate/two_nodes.yaml \
  --num_machines "$SLURM_NNODES" --num_processes $((SLURM_NNODES * 8)) \
  --main_process_ip "$MAIN_ADDRESS" --machine_rank "$SLURM_NODEID" \
  -m trl_rlsp "$@" --resume_from_checkpoint auto' rlsp "$@"
