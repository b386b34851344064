# SAT, DeiT-S on CUB with k training images a class, Table 8 (b): the attention of blocks 0 to 8 is frozen, 24 % of the
# parameters.
_base_ = ['./sat_deit-s_cub_few-shot.py']
model = dict(frozen=['backbone.layers.[0-8].attn.*'])
