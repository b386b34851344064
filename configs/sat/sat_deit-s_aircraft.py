# SAT, DeiT-S on FGVC-Aircraft (100 variants, trained on train and val). The paper's results on it are in a supplement;
# no setting is published: those of CUB, and lambda = 0.7 times the mean area of the boxes (0.46), the ratio that 0.25
# has on CUB. Not reproduced.
_base_ = ['./sat_deit-s_cub.py']
data_root = 'data/fgvc-aircraft-2013b/data'
train_dataloader = dict(dataset=dict(type='mmwsol.FGVCAircraft', data_root=data_root, split='trainval'))
val_dataloader = dict(dataset=dict(type='mmwsol.FGVCAircraft', data_root=data_root))
test_dataloader = val_dataloader
model = dict(head=dict(num_classes=100, map_losses=dict(loss_area=dict(target=0.33))))  # unspecified
