# SAT, DeiT-S on ILSVRC, Table 8 (c): the MLPs of blocks 0 to 8 are frozen, 42 % of the parameters.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(frozen=['backbone.layers.[0-8].ffn.*'])
