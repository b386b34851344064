# SAT, DeiT-S on ILSVRC, ablation of Table 2: all losses, the normalization loss without smoothing.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(head=dict(map_losses=dict(loss_norm=dict(kernel=None))))
