# SAT, DeiT-S on ILSVRC, Table 8 (d): blocks 0 to 8 are frozen, 64 % of the parameters.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(frozen=['backbone.layers.[0-8].*'])
