# SAT, DeiT-S on CUB, Table 8 (b): the attention of blocks 0 to 8 is frozen, 24 % of the parameters.
_base_ = ['./sat_deit-s_cub.py']
model = dict(frozen=['backbone.layers.[0-8].attn.*'])
