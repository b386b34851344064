# CDTR on CUB-200-2011, losses weighted by 1/2 each (lambda = 1) in place of learned weights (Table IX).
_base_ = ['../cdtr_deit-s_cub.py']
model = dict(head=dict(weighting=dict(type='mmwsol.AutomaticWeightedLoss', learned=False)))
