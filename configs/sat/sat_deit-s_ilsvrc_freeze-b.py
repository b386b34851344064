# SAT, DeiT-S on ILSVRC, Table 8 (b): the attention of blocks 0 to 8 is frozen, 21 % of the parameters.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(frozen=['backbone.layers.[0-8].attn.*'])
