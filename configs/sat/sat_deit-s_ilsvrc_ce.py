# SAT, DeiT-S on ILSVRC, ablation of Table 2: classification loss alone.
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(head=dict(map_losses=dict(loss_area=None, loss_norm=None)))
