# SAT, DeiT-S on CUB, Table 8 (d): blocks 0 to 8 are frozen, 71 % of the parameters.
_base_ = ['./sat_deit-s_cub.py']
model = dict(frozen=['backbone.layers.[0-8].*'])
