# SAT, DeiT-S on ILSVRC, with the area of the batch of all ranks, as the paper has it ("within a batch").
_base_ = ['./sat_deit-s_ilsvrc.py']
model = dict(head=dict(map_losses=dict(loss_area=dict(sync=True))))
